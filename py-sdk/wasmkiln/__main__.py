from wasmkiln.cli import main

main()
