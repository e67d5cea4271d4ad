"""The built `untangle`, by its public commands alone."""
import json
import subprocess


class Unsupported(Exception):
    """The binary, or the suite, lacks what a row needs: the row is left out with a note."""


class Tool:
    def __init__(self, path, threads=None):
        self.path = str(path)
        self.threads = ["--threads", threads] if threads else []
        self.helps = {}

    def help(self, command):
        """The help of a command; nothing where there is no such command."""
        if command not in self.helps:
            done = subprocess.run([self.path, command, "--help"], capture_output=True, text=True)
            self.helps[command] = done.stdout if done.returncode == 0 else ""
        return self.helps[command]

    def needs(self, command, *words):
        """Makes sure that the help of a command has all of these words, as options and their values."""
        known = self.help(command)
        for word in words:
            if str(word) not in known:
                raise Unsupported(f"this binary has no {word} of `{command}`")

    def run(self, command, *arguments):
        """What the command prints as JSON."""
        words = [self.path, command, *arguments, *self.threads, "--json", "--quiet", "--no-sync"]
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(map(str, words))}\n{done.stderr}")
        return json.loads(done.stdout)

    def methods(self):
        """The names of the merge methods."""
        listed = subprocess.run([self.path, "merge", "--list-methods"], capture_output=True, text=True).stdout
        return {line.split(" ")[0] for line in listed.splitlines() if line and line[0] not in " \t"}
