"""Whatever text goes into a parameter comes out of the shell as it was, or is refused."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from psij_parsl.errors import InvalidRequest, TemplateError
from psij_parsl.platforms.templates.parameters import Parameter, list_of
from psij_parsl.platforms.templates.quoting import CONTROL, Quoted, Quoting, Raw, Shell, joined, plain
from psij_parsl.platforms.templates.template import JobTemplate

FIVE = (
    "#X {{ num_nodes }} {{ wall_time_min }} {{ job_mode }}{% if queue %} {{ queue }}{% endif %}{{ project or 'p' }}\n"
)
HOSTILE = [
    "a b",
    "it's",
    'say "hi"',
    "$HOME",
    "$(touch /tmp/x)",
    "`id`",
    "a\\b",
    "\\",
    "a;b",
    "#",
    "a #b",
    "é",
    "-n",
    "*",
    "~",
    "!",
    "a\nb",
    "\t",
    "'; rm -rf / #",
    "",
    "''",
    "{{ 7 }}",
    "%s",
    "\r",
    "\x7f",
    "\u2028",
]
nasty = st.text(st.sampled_from("ab '\"$`\\#;&|\n\r\t(){}[]<>*?!~-=%é\u2028\x85,:/"), max_size=12) | st.text(
    max_size=12
)
relaxed = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def template(body: str, *names: str, **classes: Any) -> Any:
    """A class that takes the texts `names`, with the given body."""
    declared = [Parameter(name, None) for name in names]
    return type("T", (JobTemplate,), {"template_str": FIVE + body, "optional_params": declared, **classes})


def run(script: str) -> bytes:
    done = subprocess.run(["bash"], input=script.encode(), capture_output=True, check=True, timeout=300)
    assert done.stderr == b""
    return done.stdout


def words(script: str) -> list[str]:
    """What the shell's printf got, each word ended by a NUL."""
    return [part.decode() for part in run(script).split(b"\0")[:-1]]


Plain = template("printf '%s\\0' {{ text }}\n", "text")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_arrives_in_the_shell_as_it_was(text: str) -> None:
    assert words(Plain.render(text=text)) == [text]


@relaxed
@given(nasty)
def test_any_text_arrives_or_is_refused(text: str) -> None:
    try:
        script = Plain.render(text=text)
    except InvalidRequest:
        assert "\0" in text or not _encodable(text)
        return
    assert words(script) == [text]


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


OPERATIONS: dict[str, Callable[[str], str]] = {
    "{{ text ~ '$(x)' }}": lambda text: text + "$(x)",
    "{{ 'a;' ~ text }}": lambda text: "a;" + text,
    "{{ text + '`x`' }}": lambda text: text + "`x`",
    "{{ '`x`' + text }}": lambda text: "`x`" + text,
    "{{ text | replace('a', '$(b)') }}": lambda text: text.replace("a", "$(b)"),
    "{{ text | upper }}": lambda text: text.upper(),
    "{{ text[1:] ~ text[:1] }}": lambda text: text[1:] + text[:1],
    "{{ text[::-1] }}": lambda text: text[::-1],
    "{{ text | reverse }}": lambda text: text[::-1],
    "{{ [text, '$y', text] | join(';') }}": lambda text: f"{text};$y;{text}",
    "{{ text | safe }}": lambda text: text,
    "{{ text | string }}": lambda text: text,
    "{{ text | default('x') }}": lambda text: text,
    "{{ text | trim }}": lambda text: text.strip(),
    "{{ text.strip() }}": lambda text: text.strip(),
    "{{ text * 2 }}": lambda text: text * 2,
    "{{ '%s;$z' | format(text) }}": lambda text: f"{text};$z",
    "{{ '%s;$z' % text }}": lambda text: f"{text};$z",
    "{{ text if text else text ~ '' }}": lambda text: text,
    "{{ (text or '') ~ num_nodes }}": lambda text: f"{text}1",
    "{% set made = text ~ '$(x)' %}{{ made }}": lambda text: text + "$(x)",
    "{% set made %}{{ text }}{% endset %}{{ made }}": lambda text: text,
    "{% macro one(x) %}{{ x }}{% endmacro %}{{ one(text) }}": lambda text: text,
    "{% macro m(x) %}{{ x }}{% endmacro %}{% macro n(x) %}{{ m(x) }}{% endmacro %}{{ n(text) }}": lambda text: text,
    "{% for c in text %}{{ c }}{% endfor %}''": lambda text: text,
    "{% for x in [text] %}{{ x }}{% endfor %}": lambda text: text,
    "{% with x = text %}{{ x }}{% endwith %}": lambda text: text,
    "{% set n = namespace(x=text) %}{{ n.x }}": lambda text: text,
    "{{ [text] | first }}": lambda text: text,
    "{{ [text, ''] | max }}": lambda text: text,
    "{{ {'k': text}.k }}": lambda text: text,
}


@pytest.mark.parametrize("body", OPERATIONS)
def test_no_operation_of_a_template_loses_the_quoting(body: str) -> None:
    cls = template("printf '%s\\0' " + body + "\n", "text")
    for text in ("a b;$(echo no)`id`'\"\\", "x' 'y", "a$b"):
        assert words(cls.render(text=text)) == [OPERATIONS[body](text)]


Operated = template("printf '%s\\0' " + " ".join(body for body in OPERATIONS if "{%" not in body) + "\n", "text")


@relaxed
@given(nasty)
def test_no_operation_loses_the_quoting_of_any_text(text: str) -> None:
    assume(_encodable(text) and "\0" not in text)
    expected = [made(text) for body, made in OPERATIONS.items() if "{%" not in body]
    assert words(Operated.render(text=text)) == expected


def test_an_afterok_list_is_one_word() -> None:
    cls = template("printf '%s\\0' {{ 'afterok:' ~ after | join(':') }}\n")
    assert words(cls.render(given={"after": ["1", "2 3", "$x"]})) == ["afterok:1:2 3:$x"]


def test_texts_in_lists_and_mappings_are_quoted_one_by_one() -> None:
    body = (
        "printf '%s\\0' {% for x in xs %}{{ x }} {% endfor %}{% for k, v in ys.items() %}{{ k }}={{ v }} {% endfor %}"
    )
    cls = template(body, "xs", "ys")
    assert words(cls.render(xs=["a b", "$c"], ys={"k k": "v;v"})) == ["a b", "$c", "k k=v;v"]


def test_raw_parameters_are_script() -> None:
    cls: Any = type(
        "T",
        (JobTemplate,),
        {"template_str": FIVE + "{{ lines }}\n", "optional_params": [Parameter("lines", "", raw=True)]},
    )
    assert run(cls.render(lines="echo a; echo $((1+1))")) == b"a\n2\n"


@pytest.mark.parametrize("value", [True, False, ["a"], {"a": "b"}, ()])
def test_what_has_no_one_spelling_is_not_printed(value: Any) -> None:
    with pytest.raises(TemplateError, match=r"template_str:2: \{\{ text \}\} prints"):
        Plain.render(text=value)


def test_what_is_not_set_is_not_printed() -> None:
    with pytest.raises(InvalidRequest, match=r"text is not set, and the template prints it at template_str:2"):
        Plain.render()


def test_numbers_are_printed_as_they_are() -> None:
    assert words(Plain.render(text=7)) == ["7"]
    assert words(Plain.render(text=-1.5)) == ["-1.5"]


def test_a_line_break_cannot_leave_a_comment_line() -> None:
    cls = template("# see {{ text }}\nx=1 # {{ text }}\na &#{{ text }}\n", "text")
    assert "'a b'" in cls.render(text="a b")
    for text in ("a\ntouch x", "a\rb"):
        with pytest.raises(InvalidRequest, match="line break"):
            cls.render(text=text)


def test_a_line_break_cannot_leave_a_comment_line_through_a_macro() -> None:
    cls = template(
        "{% macro m(x) %}{{ x }}{% endmacro %}{% set s %}{{ text }}{% endset %}#X {{ m(text) }} {{ s }}\n", "text"
    )
    assert "#X 'a b' 'a b'" in cls.render(text="a b")
    with pytest.raises(InvalidRequest, match="line break"):
        cls.render(text="a\ntouch x")


# --- directives


DIRECTIVES = '{{ section("directives") }}\n#X --opt={{ text }}\n{{ section("body") }}\nprintf \'%s\\0\' {{ text }}\n'
Directed = template(DIRECTIVES, "text")


def test_a_plain_word_goes_into_directive_and_body() -> None:
    script = Directed.render(text="gpu-1,gpu-2")
    assert script.endswith("\n#X --opt=gpu-1,gpu-2\nprintf '%s\\0' gpu-1,gpu-2\n")


def test_section_switches_leave_no_line_behind() -> None:
    assert Directed.render(text="x").splitlines()[1:] == ["#X --opt=x", "printf '%s\\0' x"]


@pytest.mark.parametrize("text", [text for text in HOSTILE if text != "%s"])
def test_a_hostile_text_is_refused_in_a_directive(text: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        Directed.render(text=text)
    assert str(error.value).startswith(f"text={text!r} is refused in a directive: ")


@relaxed
@given(nasty)
def test_no_text_injects_a_directive(text: str) -> None:
    try:
        lines = Directed.render(text=text).splitlines()
    except InvalidRequest:
        return
    assert lines[1] == f"#X --opt={text}"
    assert len(lines) == 3


def _double(text: str) -> str:
    """Quotes for a manager that reads "..." with backslashes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


Doubled = template(DIRECTIVES, "text", directive_quote=staticmethod(_double))


def test_a_platform_has_its_own_quoting_of_directives() -> None:
    assert '#X --opt="a \\"b\\" \\\\"\n' in Doubled.render(text='a "b" \\')


@relaxed
@given(nasty)
def test_control_characters_never_reach_a_directive_whatever_the_platform_quotes(text: str) -> None:
    try:
        script = Doubled.render(text=text)
    except InvalidRequest:
        assert CONTROL.search(text) or not _encodable(text)
        return
    assert script.splitlines()[1] == f"#X --opt={_double(text)}"


@pytest.mark.parametrize("control", ["\n", "\r", "\x85", "\u2028", "\u2029", "\x00", "\x1b", "\x0b", "\x7f"])
def test_line_breaks_of_every_kind_are_refused_in_directives(control: str) -> None:
    with pytest.raises(InvalidRequest, match="control characters or line breaks"):
        Doubled.render(text=f"a{control}b")


def test_a_raw_parameter_cannot_break_a_directive_line() -> None:
    cls: Any = type(
        "T",
        (JobTemplate,),
        {"template_str": FIVE + DIRECTIVES, "optional_params": [Parameter("text", "-x 1", raw=True)]},
    )
    assert "#X --opt=-a b 'c'\n" in cls.render(text="-a b 'c'")
    with pytest.raises(InvalidRequest, match="text=.*is refused in a directive"):
        cls.render(text="a\nb")


def test_the_refusal_names_the_parameter_through_lists_and_operations() -> None:
    section = '{{ section("directives") }}\n'
    looped = template(section + "{% for o, v in [('q', text)] %}\n#X {{ o }}={{ v }}\n{% endfor %}", "text")
    glued = template(section + "#X {{ 'x:' ~ text | join(':') }}\n", "text")
    for cls, value in ((looped, "a b"), (glued, ["a b"])):
        with pytest.raises(InvalidRequest, match="^text=.*a b"):
            cls.render(text=value)


def test_directives_and_body_can_alternate_in_loops_and_blocks() -> None:
    loop = (
        "{% for x in text %}\n{{ section('directives') }}\n#X {{ x }}\n{{ section('body') }}\n"
        "echo {{ x ~ ' ' }}\n{% endfor %}\n"
    )
    assert template(loop, "text").render(text=["a", "b"]).endswith("#X a\necho 'a '\n#X b\necho 'b '\n")
    block = "{% block b %}{% if text %}{{ section('directives') }}{% endif %}#X {{ text ~ '!' }}{% endblock %}"
    with pytest.raises(InvalidRequest, match=r"'a!' is refused in a directive"):
        template(block, "text").render(text="a")


def test_what_was_rendered_for_the_body_is_not_printed_in_directives() -> None:
    body = "{% set s %}{{ text }}{% endset %}{{ section('directives') }}\n#X {{ s }}\n"
    with pytest.raises(TemplateError, match="prints in its directives what was rendered for its body"):
        template(body, "text").render(text="a b")


def test_a_macro_is_quoted_for_the_section_that_it_is_called_in() -> None:
    body = "{% macro m(x) %}{{ x }}{% endmacro %}echo {{ m(text) }}\n{{ section('directives') }}\n#X {{ m(text) }}\n"
    cls = template(body, "text", directive_quote=staticmethod(_double))
    assert cls.render(text="a b").endswith("echo 'a b'\n#X \"a b\"\n")


# --- the kinds of text


def test_quoted_text_is_seen_as_it_is() -> None:
    text = Quoted("it's", "x")
    assert text == "it's"
    assert len(text) == 4
    assert "'" in text
    assert text[:2] == "it"
    assert not Quoted("", "x")
    assert hash(text) == hash("it's")


@pytest.mark.parametrize(
    "operate",
    [
        lambda t: t + "x",
        lambda t: "x" + t,
        lambda t: t[1:],
        lambda t: t.upper(),
        lambda t: t.replace("a", "b"),
        str,
        lambda t: t * 2,
        lambda t: "<%s>" % t,
        lambda t: t.strip(),
    ],
)
def test_quoted_text_remembers_its_name(operate: Any) -> None:
    made = operate(Quoted("abc", "queue"))
    assert isinstance(made, Quoted)
    assert made.name == "queue"


@pytest.mark.parametrize(
    "operate",
    [
        lambda s: s + "",
        lambda s: "" + s,
        lambda s: s[:],
        lambda s: s.strip(),
        lambda s: s * 1,
        lambda s: "".join([s]),
        lambda s: s.upper(),
        lambda s: f"{s}",
        lambda s: "%s" % s,
        lambda s: s.replace("x", "y"),
        lambda s: s.join(["a"]),
        lambda s: s.lower(),
        lambda s: s.ljust(0),
        lambda s: s.partition("z")[0],
        lambda s: s.split("z")[0],
        lambda s: s.casefold(),
        lambda s: s.translate({}),
        lambda s: s.removeprefix("q"),
        lambda s: s.expandtabs(),
        plain,
    ],
)
@pytest.mark.parametrize("kind", [Shell, Raw])
def test_nothing_done_to_script_gives_other_script(operate: Any, kind: Any) -> None:
    script = kind("ls")
    made = operate(script)
    assert not isinstance(made, Shell) or made is script


def test_script_cannot_be_glued_into_a_word() -> None:
    cls = template("{% set s %}x{% endset %}{{ s ~ 'y' }}\n")
    with pytest.raises(TemplateError, match="glues script"):
        cls.render()


def test_printed_pieces_are_put_together_in_order() -> None:
    quoting = Quoting(lambda text: text)
    assert joined(["echo ", quoting.show("a b"), "\n", quoting.show(3)]) == "echo 'a b'\n3"


@relaxed
@given(st.lists(nasty))
def test_a_whole_argv_arrives(argv: list[str]) -> None:
    assume(all(_encodable(text) and "\0" not in text for text in argv))
    cls: Any = type(
        "T",
        (JobTemplate,),
        {
            "template_str": FIVE + "printf '%s\\0' x{% for word in argv %} {{ word }}{% endfor %}\n",
            "optional_params": [Parameter("argv", (), [list_of(str)])],
        },
    )
    script = cls.render(argv=argv)
    assert words(script) == ["x", *argv]
    assert shlex.split(script.splitlines()[0], comments=True) == []
