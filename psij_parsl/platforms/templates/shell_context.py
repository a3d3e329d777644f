"""The shell context of each expression in a script: a quoted word is one word in some places only.

`{{ directory }}` prints `'/a b'`. Inside `"..."` these quotes would be text (PSI/J once ran jobs in /tmp for
it), in a here-document or `$(( ))` they do not stop `$(...)`, and after a `$` they change their meaning.
`ShellScan` follows the literal text of a template and says which places are wrong. It knows as much of bash
as that takes: quotes, comments, substitutions, here-documents. It does not see through what reads its words
once more: `eval`, `sh -c`, `let`, and the numbers of `[[ ]]`.
"""

from __future__ import annotations

import re

# The contexts other than quotes, by how they begin.
_COMMAND, _SUM, _PAREN, _BRACE, _COMMENT, _HEREDOC = "(", "((", "(+", "${", "#", "<<"
_COMMAND_TOKEN = re.compile(
    r"""\\. | \\\Z | \$\(\( | \$\( | \$\{ | \$' | \(\( | [()'"`\n] | <<<
      | <<-?[ \t]*\\?["']?(?P<heredoc>[A-Za-z_]\w*)["']? | (?<![^\s;|&(<>])\#""",
    re.VERBOSE | re.DOTALL,
)  # a "#" after a ")" may go on with the word of a $(...): taken for no comment, quotes after it are seen
_TOKENS = {
    _SUM: re.compile(r"\)\)|\$\(\(|\$\(|\("),
    _PAREN: re.compile(r"\)|\$\(\(|\$\(|\("),
    _BRACE: re.compile(r"""\\.|\\\Z|\}|\$\(\(|\$\(|\$\{|\$'|['"`]""", re.DOTALL),
    _COMMENT: re.compile(r"\n"),
    _HEREDOC: re.compile(r"\n"),
    "'": re.compile(r"'"),
    "`": re.compile(r"\\.|\\\Z|`", re.DOTALL),  # whatever is quoted or commented in it
    "$'": re.compile(r"\\.|\\\Z|'", re.DOTALL),
    '"': re.compile(r"""\\.|\\\Z|"|\$\(\(|\$\(|\$\{|`""", re.DOTALL),
}
_OPENS = {"$((": _SUM, "((": _SUM, "$(": _COMMAND, "(": _COMMAND, "${": _BRACE, "#": _COMMENT}
_OPENS |= {quote: quote for quote in ("'", '"', "`", "$'")}
_CLOSES = {_COMMAND: ")", _SUM: "))", _PAREN: ")", _BRACE: "}"}
_CLOSES |= {"'": "'", "$'": "'", '"': '"', "`": "`"}
_NAME_AT_END = re.compile(r"\$\w*\Z")
_SUBSCRIPT_AT_END = re.compile(r"\w\[\s*\Z")


class ShellScan:
    """Follows the shell syntax of a template, to which its literal text and expressions are given in their order.

    `text`, `place` and `switch` change its state.
    """

    def __init__(self) -> None:
        self._directives = False
        self._line = ""  # what stands on the line so far; an expression counts as "x"
        self._stack = [_COMMAND]
        self._heredocs: list[str] = []  # the delimiters that are awaited
        self._escaped = False  # the text ended in a backslash

    def switch(self, section: str) -> None:
        """The directives begin (no shell: only quotes right next to an expression are wrong) or end."""
        line = self._line
        self.__init__()  # type: ignore[misc]  # back to the start of a script, but for the line
        self._line, self._directives = line, section == "directives"

    def copy(self) -> ShellScan:
        """The same state, to follow another branch."""
        duplicate = ShellScan()
        duplicate.__dict__.update(self.__dict__, _stack=self._stack[:], _heredocs=self._heredocs[:])
        return duplicate

    def place(self, following: str, *, plain: bool = False) -> str:
        """What is wrong with an expression here, "" if nothing.

        `following`: the literal text after it; `plain`: it prints a plain word or a number, which quoting
        leaves as it is, so that quotes around it do no harm.
        """
        fault = self._glued(following[:1]) or ("" if plain else self._enclosed(self._line[-1:], following[:1]))
        self._line += "x"
        self._escaped = False
        return fault

    def _enclosed(self, before: str, after: str) -> str:
        context = self._stack[-1]
        if self._directives or context == _COMMENT:
            next_to_quote = before in ("'", '"') or after in ("'", '"')
            return "stands next to a quote; what it prints is quoted already" if next_to_quote else ""
        if context == _HEREDOC:
            return "stands in a here-document, where quoting does not work; set a variable before it"
        if context in ("'", '"', "$'"):
            return "stands inside quotes; what it prints is quoted already: let it stand outside of them"
        if context == _BRACE:
            return "stands in ${...}, where quoting does not always work; set a variable before it"
        if context in (_SUM, _PAREN) or _SUBSCRIPT_AT_END.search(self._line):
            return "stands in arithmetic, where quoting does not work; set a variable before it"
        if context == "`":
            return "stands in backquotes, where quoting does not work; write $(...)"
        return ""

    def _glued(self, after: str) -> str:
        if self._directives or self._stack[-1] in (_COMMENT, _HEREDOC, "'"):
            return ""
        if self._escaped:
            return "stands after a backslash, which would undo its quoting"
        if _NAME_AT_END.search(self._line):
            return "stands right after a $ or $name, which would take it for its own; write ${name}"
        if after in ("<", ">") and self._stack[-1] == _COMMAND:
            return "stands right before a redirection, which would take a number for its own; put a blank"
        return ""

    def text(self, text: str) -> None:
        """Literal text of the template."""
        if text and not self._directives:
            self._scan(text)
        self._line = (self._line + text).rpartition("\n")[2]

    def _scan(self, text: str) -> None:
        previous = self._line[-1:]  # so that a "#" that begins this text is seen in its place
        position, text = len(previous) + self._escaped, previous + text
        self._escaped = False
        while token := _TOKENS.get(self._stack[-1], _COMMAND_TOKEN).search(text, position):
            context, symbol, position = self._stack[-1], token[0], token.end()
            if context == _HEREDOC:
                line = (self._line[:-1] + text)[: len(self._line[:-1]) + token.start()].rpartition("\n")[2]
                if line.strip() == self._heredocs[0]:
                    self._heredocs.pop(0)
                if not self._heredocs:
                    self._stack.pop()
            elif symbol == "\n":
                if context == _COMMENT:
                    self._stack.pop()
                if self._heredocs:
                    self._stack.append(_HEREDOC)
            elif symbol[0] == "\\":
                self._escaped = len(symbol) == 1
            elif symbol == _CLOSES[context]:
                if len(self._stack) > 1:  # a `)` with nothing open is a pattern of `case`
                    self._stack.pop()
            elif symbol in _OPENS:
                self._stack.append(_PAREN if symbol == "(" and context in (_SUM, _PAREN) else _OPENS[symbol])
            elif token.re is _COMMAND_TOKEN and token["heredoc"]:
                self._heredocs.append(token["heredoc"])
