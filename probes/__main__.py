"""`python -m probes` is the command `probes`."""

from probes.cli import main

if __name__ == "__main__":
    main(prog_name="probes")
