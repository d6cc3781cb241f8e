"""``python -m stream.cli`` is ``cx``."""

from stream.cli import main

if __name__ == "__main__":
    main()
