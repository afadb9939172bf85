"""The version of the package: a copy of VERSION, which `./dev lint` compares."""

VERSION = "0.1.0"
