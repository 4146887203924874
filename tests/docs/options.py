"""Checks that the programs, subcommands and options of a command exist."""
import re
import shlex
import subprocess


class Options:
    def __init__(self, root, nearfield):
        self.root, self.nearfield, self.helps = root, nearfield, {}

    def help(self, *subcommand):
        """Help text of a subcommand of `nearfield`; None if there is no such subcommand."""
        if subcommand not in self.helps:
            run = subprocess.run([self.nearfield, *subcommand, "--help"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            self.helps[subcommand] = run.stdout if run.returncode == 0 else None
        return self.helps[subcommand]

    def wrong(self, command):
        """Text that says what is wrong with a command; None if nothing is."""
        try:
            words = shlex.split(command)
        except ValueError as error:
            return str(error)
        while words and re.match(r"[A-Z_]+=", words[0]):
            words = words[1:]
        if words and words[0] == "nearfield":
            return self.of_nearfield(words[1:])
        if words and words[0] in ("python", "python3"):
            words = words[1:]
        if words and ("/" in words[0] or words[0].endswith(".py")):
            return self.of_script(words[0], words[1:])
        return None

    def of_nearfield(self, words):
        if not words or words[0].startswith("-") or not words[0].isalpha():
            return None
        text = self.help(words[0])
        if text is None:
            return f"nearfield has no command {words[0]}"
        return not_named(words[1:], text, f"nearfield {words[0]}")

    def of_script(self, script, words):
        # A page may name a script without its folder.
        paths = [self.root / script, *(path for top in ("measure", "models", "tests") for path in (self.root / top).rglob(script.split("/")[-1]))]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            return f"there is no {script}"
        return not_named(words, path.read_text(errors="replace"), script)


def not_named(words, text, where):
    for word in words:
        option = re.match(r"\[?(--[a-z][a-z-]*|-[a-zA-Z]$)", word)
        if option and not re.search(rf"(?<![\w-]){option[1]}(?![\w-])", text):
            return f"{where} has no option {option[1]}"
    return None
