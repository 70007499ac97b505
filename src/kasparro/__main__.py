"""`python -m kasparro` is `kasparro`."""

from kasparro.cli.main import run

if __name__ == "__main__":
    run()
