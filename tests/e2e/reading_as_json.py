"""Run commands with `--json` in one process: DATA, then a JSON list of their words.

Prints a JSON object: by command, its exit code, standard output and standard error.
"""

import json
import sys

from typer.testing import CliRunner

from services.cli.main import app

data, commands = sys.argv[1:]
done = {}
for words in json.loads(commands):
    result = CliRunner().invoke(app, ["--data", data, *words, "--json"])
    done[" ".join(words)] = (result.exit_code, result.stdout, result.stderr)
sys.stdout.write(json.dumps(done))
