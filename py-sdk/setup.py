"""Wheels and source distributions carry the compiler that the checkout has built (`./dev build`)."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

PACKED = Path("wasmkiln/compiler-full.wasm")
BUILT = Path("../build/wasm/runtime/kiln_compiler_full.wasm")


def carry(command: build_py | sdist, folder: Path) -> None:
    """Puts the compiler where a distribution is put together."""
    source = PACKED if PACKED.exists() else BUILT  # a source distribution has it in its place
    if not source.exists():
        raise SystemExit(f"{source} is missing: ./dev build makes it (an editable install does without)")
    command.mkpath(str((folder / PACKED).parent))
    command.copy_file(str(source), str(folder / PACKED))


class Build(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:  # which finds it in the checkout
            carry(self, Path(self.build_lib))


class Source(sdist):
    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        carry(self, Path(base_dir))


setup(cmdclass={"build_py": Build, "sdist": Source})
