"""Job templates: checked when they are defined, rendered as they were checked."""

from __future__ import annotations

import importlib.util
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from psij_parsl import Job
from psij_parsl.errors import InvalidRequest, TemplateError
from psij_parsl.jobs.file_settings import FileSettings, JobPlace
from psij_parsl.jobs.job_files import SubmissionRequest
from psij_parsl.jobs.job_folder import claimed_by
from psij_parsl.platforms.templates.parameters import Parameter, list_of, memory, one_of, positive_int, str2bool, word
from psij_parsl.platforms.templates.quoting import Raw
from psij_parsl.platforms.templates.template import FIXED, GIVEN, JobTemplate, Refuse
from psij_parsl.testing.templates import sentinel_check

FIVE = "#X {{ num_nodes }} {{ wall_time_min }} {{ job_mode }} {{ queue or '-' }} {{ project or '-' }}\n"


def define(text: str, *params: Any, bases: tuple[type, ...] = (JobTemplate,), **body: Any) -> Any:
    """A class made from a template's text."""
    return type("Made", bases, {"template_str": text, "optional_params": params, **body})


def refused(text: str, *params: Any, **body: Any) -> str:
    """The message that refuses the class."""
    with pytest.raises(TemplateError) as error:
        define(text, *params, **body)
    return str(error.value)


@pytest.fixture
def module(tmp_path: Path) -> Callable[..., ModuleType]:
    """Makes a module in its own folder, with template files next to it."""
    numbers = itertools.count()

    def make(code: str, **files: str) -> ModuleType:
        name = f"templates_of_a_test_{next(numbers)}_{tmp_path.name}"
        folder = tmp_path / name
        folder.mkdir()
        for file, text in files.items():
            (folder / file.replace("__", ".")).write_text(text)
        (folder / "template.py").write_text(
            "from psij_parsl.platforms.templates.template import JobTemplate\n" + code
        )
        spec = importlib.util.spec_from_file_location(name, folder / "template.py")
        assert spec is not None
        assert spec.loader is not None
        made = importlib.util.module_from_spec(spec)
        sys.modules[name] = made
        spec.loader.exec_module(made)
        return made

    return make


# --- the reference's example


class LocalTemplate(JobTemplate):
    template_str = """#!/bin/bash
# nodes {{ num_nodes }}, minutes {{ wall_time_min }}, queue {{ queue }}, project {{ project }}, mode {{ job_mode }}
{% if use_ssd %}
export SCRATCH=/local/ssd
{% endif %}
"""
    optional_params = [{"name": "use_ssd", "validators": [str2bool], "default": True}]


def test_the_example_of_the_reference_works() -> None:
    required: dict[str, Any] = {
        "num_nodes": 2,
        "wall_time_min": 30,
        "queue": "debug",
        "project": "physics",
        "job_mode": "mpi",
    }
    heading = "#!/bin/bash\n# nodes 2, minutes 30, queue debug, project physics, mode mpi\n"
    assert LocalTemplate.render(**required) == heading + "export SCRATCH=/local/ssd\n"
    assert LocalTemplate.render(**required, use_ssd=False) == heading
    assert LocalTemplate.render(**required, use_ssd="no") == heading


# --- the checks


@pytest.mark.parametrize("name", FIXED)
def test_each_fixed_parameter_must_be_rendered(name: str) -> None:
    text = "".join(f"{{{{ {other} }}}}\n" for other in FIXED if other != name)
    assert refused(text) == (
        f"Made (template_str): the fixed parameter {name} is never rendered (the job would not ask for it)"
    )


def test_each_declared_parameter_must_be_used() -> None:
    assert "declared parameter use_sdd is never used" in refused(FIVE, Parameter("use_sdd", True, [str2bool]))


def test_nothing_undeclared_is_used() -> None:
    message = refused(FIVE + "{% if use_sdd %}x{% endif %}\n", Parameter("use_ssd", True)).replace("\n", "")
    assert "use_ssd is never used" in message
    message = refused(FIVE + "{{ use_sdd }}{% if use_ssd %}{% endif %}", Parameter("use_ssd", True))
    assert "'use_sdd' is used but not declared (did you mean 'use_ssd'?)" in message


def test_a_default_must_pass_its_own_validators() -> None:
    message = refused(FIVE + "{% if s %}{% endif %}", Parameter("s", "perhaps", [str2bool]))
    assert "the default of parameter s breaks its own rule: s='perhaps' is refused: must be yes or no" in message


def test_a_name_that_is_taken_or_declared_twice_is_refused() -> None:
    assert "taken" in refused(FIVE, Parameter("queue"))
    assert "taken" in refused(FIVE, Parameter("folder"))
    assert "taken" in refused(FIVE, Parameter("loop"))
    assert "twice" in refused(FIVE, Parameter("x"), {"name": "x"})


def test_what_the_template_sets_itself_is_not_a_parameter() -> None:
    assert "queue is never rendered" in refused("{% set queue = 'x' %}" + FIVE)


def test_what_a_constant_condition_shuts_out_does_not_count() -> None:
    assert "queue is never rendered" in refused(
        FIVE.replace("{{ queue or '-' }}", "{% if false %}{{ queue }}{% endif %}")
    )
    assert "x" not in define(FIVE + "{% if true %}a{% else %}{{ x }}{% endif %}").uses


def test_faults_of_syntax_are_told_with_their_place() -> None:
    assert "template_str:2: " in refused("\n{% if %}")
    assert "template_str:2: there is no filter 'dmhs' (did you mean 'dhms'?)" in refused(
        FIVE + "{{ wall_time_min | dmhs }}"
    )
    assert "there is no test 'defned'" in refused(FIVE + "{% if queue is defned %}{% endif %}")


def test_an_abstract_base_is_not_checked_but_its_children_are() -> None:
    base = define("{{ num_nodes }}", Parameter("gres"), abstract=True)
    assert set(base.params) == {"gres"}
    with pytest.raises(TemplateError, match="abstract"):
        base.render()
    assert "gres is never used" in refused(FIVE, bases=(base,))


def test_a_class_without_a_template_of_its_own_is_checked_with_its_bases() -> None:
    base = define(FIVE)
    child: Any = type("Child", (base,), {})
    assert child.render() == base.render()
    with pytest.raises(
        TemplateError, match=r"Child \(template_str of Made\): the declared parameter gres is never used"
    ):
        type("Child", (base,), {"optional_params": [Parameter("gres")]})


def test_a_template_is_given_once() -> None:
    assert "both template_str and template_file" in refused(FIVE, template_file="job.sh.j2")


# --- parameters


def test_parameters_are_inherited_and_overridden_by_name() -> None:
    base = define(FIVE + "{{ disk }} {{ mem }}\n", Parameter("disk", "a"), Parameter("mem", 1))
    child = define('{% extends "parent" %}', Parameter("disk", "b"), bases=(base,))
    assert child.render().endswith("b 1\n")
    assert base.render().endswith("a 1\n")


def test_parameters_of_a_mixin_count() -> None:
    class Disk:
        optional_params = (Parameter("disk", "d"),)

    made = define(FIVE + "{{ disk }}\n", bases=(Disk, JobTemplate))
    assert made.render(disk="e").endswith("\ne\n")


def test_an_unknown_parameter_is_refused_with_the_nearest_and_the_valid_ones() -> None:
    with pytest.raises(InvalidRequest) as error:
        LocalTemplate.render(use_sdd=True)
    assert str(error.value) == (
        "LocalTemplate has no parameter 'use_sdd' (did you mean 'use_ssd'? "
        "known: num_nodes, wall_time_min, queue, project, job_mode, use_ssd)"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_nodes", 0),
        ("num_nodes", "two"),
        ("wall_time_min", -1),
        ("wall_time_min", 1.5),
        ("queue", "a b"),
        ("queue", ""),
        ("project", "x;y"),
        ("project", "-A"),
        ("job_mode", "mpii"),
        ("queue", "a\nb"),
    ],
)
def test_a_fixed_parameter_that_breaks_its_rule_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest, match=f"^{name}="):
        define(FIVE).render(**{name: value})


def test_a_template_can_ask_whether_queue_and_project_are_set() -> None:
    made = define(
        "{{ num_nodes }}{{ wall_time_min }}{{ job_mode }}{% if queue %}q{% endif %}{% if project %}p{% endif %}"
    )
    assert made.render() == "110script"
    assert made.render(queue="a", project="b") == "110scriptqp"


@pytest.mark.parametrize("value", [False, None, "", (), 0])
def test_false_empty_and_unset_are_false_in_a_template(value: Any) -> None:
    made = define(FIVE + "{% if flag %}yes{% else %}no{% endif %}", Parameter("flag"))
    assert made.render(flag=value).endswith("\nno")


def test_values_are_converted_before_the_template_sees_them() -> None:
    made = define(FIVE + "{{ size | gb }} {{ wall_time_min | hms }}\n", Parameter("size", "1G", [memory]))
    assert made.render(wall_time_min=90).endswith("\n1 1:30:00\n")
    assert made.render(wall_time_min="90", size="1025MB").endswith("\n2 1:30:00\n")


def test_a_word_that_the_core_did_not_give_is_an_error_of_the_template() -> None:
    with pytest.raises(TemplateError, match="'directory' is undefined"):
        define(FIVE + "cd {{ directory }}\n").render()


def test_only_the_words_of_the_core_are_given() -> None:
    with pytest.raises(TemplateError, match="did you mean 'directory'"):
        define(FIVE).render(given={"direktory": "/"})
    with pytest.raises(InvalidRequest, match="said by the job itself"):
        define(FIVE).render(directory="/")
    with pytest.raises(InvalidRequest, match="^id="):
        define(FIVE).render(given={"id": "a b"})


def test_a_filter_given_the_wrong_thing_is_an_error_of_the_template() -> None:
    with pytest.raises(TemplateError, match="cannot be rendered: takes a whole number of minutes"):
        define(FIVE + "{{ queue | hms }}").render()


# --- requests that a template cannot say


def test_a_request_that_the_template_cannot_say_is_refused() -> None:
    with pytest.raises(InvalidRequest) as error:
        LocalTemplate.refuse_unexpressed({"gpus_per_rank": 1, "memory_per_node": 4000, "after": ["7"]})
    assert error.value.message == (
        "LocalTemplate cannot ask for GPUs (gpus_per_rank=1), memory (memory_per_node=4000 MB), "
        "dependencies (after=['7'])"
    )


def test_messages_have_the_platforms_name_and_none_that_is_made_of_the_classs() -> None:
    class Odd(LocalTemplate):
        refusals = (Refuse(lambda asked: asked["num_nodes"] > 1, "has one node, not {num_nodes}"),)

    checks = (
        (lambda *name: Odd.refuse({"num_nodes": 2}, *name), "has one node, not 2"),
        (lambda *name: Odd.refuse_unexpressed({"hold": True}, *name), "cannot ask for jobs that wait"),
        (lambda *name: Odd.refuse_unknown(["x"], *name), "has no parameter 'x'"),
    )
    for check, said in checks:
        with pytest.raises(InvalidRequest, match=f"^the toyq platform {said}"):
            check("toyq")
        with pytest.raises(InvalidRequest, match=f"^Odd {said}"):
            check()


def test_a_request_that_the_template_says_by_a_derived_name_passes() -> None:
    made = define(FIVE + "{{ num_ranks }} {{ memory_per_node | mb }}\n")
    made.refuse_unexpressed({"ranks_per_node": 2, "memory_per_node": 4000, "num_nodes": 3})
    made.refuse_unexpressed({})


def test_a_template_with_the_cores_skeleton_refuses_an_array_that_its_own_lines_do_not_ask_for() -> None:
    text = '{% extends "core/job.sh.j2" %}\n{% block directives %}\n' + FIVE + "ARRAY{% endblock %}\n"
    with pytest.raises(InvalidRequest, match="cannot ask for job arrays"):
        define(text.replace("ARRAY", "")).refuse_unexpressed({"array": "0-3"})
    define(text.replace("ARRAY", "#X {{ array }}\n")).refuse_unexpressed({"array": "0-3"})


# --- the template that is really rendered


BASE = "{% block head %}\n" + FIVE + "{% endblock %}\n{% block body %}\nbody\n{% endblock %}\n"


def extending(text: str, base: str = BASE, **body: Any) -> Any:
    return define('{% extends "parent" %}\n' + text, bases=(define(base, abstract=True),), **body)


def test_a_child_fills_its_parents_blocks() -> None:
    assert extending("{% block body %}\nmine\n{% endblock %}\n").render() == "#X 1 10 script - -\nmine\n"


def test_a_parameter_in_an_overridden_block_is_not_rendered() -> None:
    with pytest.raises(TemplateError, match="num_nodes is never rendered"):
        extending("{% block head %}{% endblock %}")


def test_super_renders_the_parents_block_once_and_unharmed() -> None:
    base = define("{% block a %}echo {{ queue }} {% endblock %}" + FIVE)
    middle = define('{% extends "parent" %}{% block a %}<{{ super() }}>{% endblock %}', bases=(base,))
    last = define('{% extends "parent" %}{% block a %}[{{ super() }}]{% endblock %}', bases=(middle,))
    assert last.render(queue="q").startswith("[<echo q >]#X")


@pytest.mark.parametrize("use", ["{% set x = super() %}", "{{ super() | upper }}", "{% if super() %}{% endif %}"])
def test_super_stands_by_itself(use: str) -> None:
    with pytest.raises(TemplateError, match="super.* stands by itself"):
        extending("{% block body %}" + use + "{% endblock %}")


def test_super_without_a_parent_block_is_an_error() -> None:
    assert "no parent has a block" in refused(FIVE + "{% block a %}{{ super() }}{% endblock %}")
    assert "stands in a block" in refused(FIVE + "{{ super() }}")


def test_text_outside_a_childs_blocks_is_an_error() -> None:
    for lost in ("#X lost\n", "{{ queue }}", "{% if queue %}x{% endif %}", "{% for x in after %}{% endfor %}"):
        with pytest.raises(TemplateError, match=r"template_str:2: .*never rendered: it stands outside the blocks"):
            extending(lost)


def test_a_block_that_the_parent_lacks_is_an_error() -> None:
    with pytest.raises(
        TemplateError, match=r"block 'haed' is never rendered: its parent has none \(did you mean 'head'\?\)"
    ):
        extending("{% block haed %}x{% endblock %}")


def test_a_block_inside_a_replaced_block_is_an_error() -> None:
    nested = FIVE + "{% block outer %}{% block inner %}{% endblock %}{% endblock %}"
    with pytest.raises(TemplateError, match="block 'inner' is never rendered"):
        extending("{% block outer %}{% endblock %}{% block inner %}{% endblock %}", nested)
    made = extending("{% block inner %}in{% endblock %}", nested)
    assert made.render().endswith("in")


def test_new_blocks_may_stand_in_a_childs_block() -> None:
    made = extending("{% block body %}{% block more %}new{% endblock %}{% endblock %}")
    assert define('{% extends "parent" %}{% block more %}er{% endblock %}', bases=(made,)).render().endswith("er")


def test_a_required_block_must_be_filled() -> None:
    base = FIVE + "{% block must required %}{% endblock %}"
    assert "must be filled" in refused(base)
    assert extending("{% block must %}x{% endblock %}", base).render().endswith("x")


def test_a_child_may_set_names_and_macros_outside_its_blocks() -> None:
    made = extending("{% set n = 3 %}{% macro m(x) %}[{{ x }}]{% endmacro %}{% block body %}{{ m(n) }}{% endblock %}")
    assert made.render().endswith("[3]")


def test_a_macro_that_nobody_calls_is_an_error() -> None:
    assert "macro 'm' is never rendered" in refused("{% macro m() %}{{ queue }}{% endmacro %}" + FIVE)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{% import 'x' as x %}", "import is refused"),
        ("{% from 'x' import y %}", "import is refused"),
        ("{% include queue %}", "written out"),
        ("{% include ['a', 'b'] %}", "written out"),
        ("{% include 'a' ignore missing %}", "nothing more"),
        ("{% include 'nowhere' %}", "cannot be read"),
        ("{% include '../x' %}", "must lie next to"),
        ("{% include '/etc/passwd' %}", "must lie next to"),
        ("{% if queue %}{% extends 'parent' %}{% endif %}", "at the top"),
        ("{% extends queue %}", "written out"),
        ("{% filter upper %}x{% endfilter %}", "refused"),
        ("{% set x | upper %}x{% endset %}", "refused"),
        ("{% macro m() %}{% endmacro %}{% call m() %}x{% endcall %}", "refused"),
        ("{{ self.a() }}", "refused"),
        ("{% autoescape true %}x{% endautoescape %}", "refused"),
        ("{{ section(queue) }}", "section.* takes one of"),
        ("{{ section('head') }}", "takes one of"),
        ("{% set x = section('body') %}{{ x }}", "not declared"),
        ("{% block a %}{% endblock %}{% block a %}{% endblock %}", "twice|defined"),
    ],
)
def test_what_cannot_be_followed_or_quoted_is_refused(text: str, why: str) -> None:
    import re

    assert re.search(why, refused(FIVE + text))


def test_files_next_to_the_module_are_found(module: Callable[..., ModuleType]) -> None:
    made = module(
        "class T(JobTemplate): pass", job__sh__j2=FIVE + '{% include "tail.j2" %}', tail__j2="tail {{ id }}\n"
    )
    assert made.T.render(given={"id": "7"}).endswith("\ntail 7\n")
    assert "id" in made.T.uses


def test_a_template_file_is_named(module: Callable[..., ModuleType]) -> None:
    made = module("class T(JobTemplate): template_file = 'other.j2'", other__j2=FIVE)
    assert made.T.render() == "#X 1 10 script - -\n"
    with pytest.raises(TemplateError, match=r"T \(none.j2\): template 'none.j2' cannot be read"):
        module("class T(JobTemplate): template_file = 'none.j2'")


def test_a_file_that_contains_itself_is_refused(module: Callable[..., ModuleType]) -> None:
    with pytest.raises(TemplateError, match="cannot contain itself"):
        module("class T(JobTemplate): pass", job__sh__j2=FIVE + '{% include "job.sh.j2" %}')
    with pytest.raises(TemplateError, match="cannot contain itself"):
        module("class T(JobTemplate): pass", job__sh__j2='{% extends "a.j2" %}', a__j2='{% extends "job.sh.j2" %}')


def test_a_fault_in_an_included_file_is_told_with_its_name(module: Callable[..., ModuleType]) -> None:
    with pytest.raises(TemplateError, match=r"tail\.j2:2: an expression stands inside quotes"):
        module(
            "class T(JobTemplate): pass", job__sh__j2=FIVE + '{% include "tail.j2" %}', tail__j2='\ncd "{{ folder }}"'
        )


def test_an_include_may_extend_files_of_its_own(module: Callable[..., ModuleType]) -> None:
    made = module(
        "class T(JobTemplate): pass",
        job__sh__j2=FIVE + '{% include "a.j2" %}',
        a__j2='{% extends "b.j2" %}{% block x %}a{{ super() }}{% endblock %}',
        b__j2="<{% block x %}b{% endblock %}>",
    )
    assert made.T.render().endswith("<ab>")


def test_parent_goes_up_the_classes_from_file_to_file(module: Callable[..., ModuleType]) -> None:
    first = module("class T(JobTemplate): pass", job__sh__j2=FIVE + "{% block a %}1{% endblock %}")
    code = f"import sys\nclass T(sys.modules[{first.__name__!r}].T): pass\nclass U(T): pass"
    second = module(code, job__sh__j2='{% extends "parent" %}{% block a %}{{ super() }}2{% endblock %}')
    assert second.T.render().endswith("12")
    assert second.U.render().endswith("12")


CORE = """{% extends "NAME" %}
{% block directives %}
#X {{ num_nodes }} {{ wall_time_min | hms }} {{ job_mode }}
{% if queue %}
#X -q {{ queue }}
{% endif %}
{% if project %}
#X -A {{ project }}
{% endif %}
{% endblock %}
"""


@pytest.mark.parametrize("name", ["core/job.sh.j2", "parent"])
def test_the_cores_skeleton_can_be_extended(name: str) -> None:
    made = define(CORE.replace("NAME", name))
    words = {**dict.fromkeys(GIVEN, ""), "id": "1", "folder": "/a b", "command": Raw("true"), "launch": Raw("true")}
    lines = made.render(queue="q", given=words).splitlines()
    assert lines[:3] == ["#!/bin/bash", "#X 1 0:10:00 script", "#X -q q"]
    assert subprocess.run(["bash", "-n"], input="\n".join(lines), text=True).returncode == 0


@pytest.mark.parametrize("index", ["0", "1"])
def test_blocks_of_the_skeleton_may_be_empty_or_use_what_is_known_by_then(index: str, tmp_path: Path) -> None:
    """A platform with nothing to say about nodes, whose id of an array is that of its elements without the index."""
    blocks = {
        "native_id": '"$Q_ID"',
        "array_index": '"$Q_INDEX"',
        "root_id": '"${psij_native%"-$psij_index"}"',
        "nodes": "{% if num_nodes > 1 %}\nhostname\n{% endif %}\n",
    }
    text = "".join(f"{{% block {name} %}}{body}{{% endblock %}}\n" for name, body in blocks.items())
    lines = CORE.replace("NAME", "core/job.sh.j2").replace("#X {{ num_nodes }}", "#X {{ array }} {{ num_nodes }}")
    made = define(lines + text)
    job = Job(command=["true"], array=[0, 1], directory=tmp_path)
    place = JobPlace("j1", "psij:j1", tmp_path / "folder")
    place.folder.mkdir()
    script = SubmissionRequest.make(FileSettings(template=made), job, place).write()
    for number in ("0", index):
        environ = {"PATH": os.environ["PATH"], "Q_ID": f"7-{number}", "Q_INDEX": number}
        done = subprocess.run(["bash", script], env=environ, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    assert claimed_by(place.folder) == "7"
    assert (place.folder / index / "exit").read_text().startswith(f"7-{index} 0 0 command ")


# --- where an expression may stand


@pytest.mark.parametrize(
    "line",
    [
        '"{{ directory }}"',
        "'{{ directory }}'",
        'x="a {{ directory }} b"',
        'x="$a/{{ directory }}"',
        "$'{{ directory }}'",
        "cat <<EOF\na {{ directory }}\nEOF",
        "cat <<-'E'\n\t{{ directory }}\n\tE",
        "x=$(( {{ directory }} + 1 ))",
        "x=`cat {{ directory }}`",
        "x=$((1+(2*{{ directory }})))",
        "echo \\{{ directory }}",
        "echo ${{ directory }}",
        "echo $HOME{{ directory }}",
        "echo {{ directory }}>f",
        'echo "a\nb {{ directory }}"',
        'x="$(a)b{{ directory }}"',
        '{% if queue %}"{% endif %}{{ directory }}',
        '# "{{ directory }}"',
        "{{ section('directives') }}#X '{{ directory }}'",
        "{% for x in after %}'{{ x }}'{% endfor %}",
        '{% macro m(x) %}"{{ x }}"{% endmacro %}{{ m(directory) }}',
        "x=${y:-{{ directory }}}",
        "x=\"${y:-'{{ directory }}'}\"",
        "a[{{ directory }}]=1",
        "x=$(a)#' {{ directory }} '",
        '{% set queue = directory %}"{{ queue }}"',
        '"{{ queue ~ directory }}"',
        '"{{ queue | upper }}"',
    ],
)
def test_an_expression_where_its_quoting_would_not_hold_is_refused(line: str) -> None:
    assert "an expression stands" in refused(FIVE + line + "\n")


@pytest.mark.parametrize(
    "line",
    [
        "cd {{ directory }}",
        "x={{ directory }}",
        "x=\"$HOME\"{{ directory }}'end'",
        'x="$(cat {{ directory }})"',
        "# don't {{ directory }}",
        "a # it's\necho {{ directory }}",
        "x=${y#z}{{ directory }}",
        "$(cd {{ directory }})",
        "cat <<EOF\nit's $x\nEOF\ncd {{ directory }}",
        "case x in a) echo {{ directory }};; esac",
        "x=$((1<<2)); cd {{ directory }}",
        "x=${y/ #/'a}'}; cd {{ directory }}",
        'x="${y:-\'it"\'}"; cd {{ directory }}',
        "cat <<<'a'; cd {{ directory }}",
        "echo \\\\{{ directory }}",
        'x="it\'s"; cd {{ directory }}',
        "(cd {{ directory }})",
        "trap 'x '\"$y\"' z' {{ directory }}",
        "[ $# = 1 ] && cd {{ directory }}",
        "f() { cd {{ directory }}; }",
        'x="\\""{{ directory }}',
        "x=$'it\\'s'; cd {{ directory }}",
        "cat <<A <<B\n'\nA\n\"\nB\ncd {{ directory }}",
        "{% if queue %}a{% else %}b{% endif %} {{ directory }}",
        "echo {{ directory }} >f",
        "x=`a 'b'`; cd {{ directory }}",
    ],
)
def test_an_expression_where_its_quoting_holds_passes(line: str) -> None:
    made = define(FIVE + line + "\n")
    script = made.render(given={"directory": "/a b/it's"})
    assert subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True).stderr == ""


@pytest.mark.parametrize(
    "line",
    [
        'echo "{{ num_nodes }} nodes"',
        'q="{{ queue }}"',
        "x=$(( {{ num_nodes }} * 2 ))",
        'echo "{{ wall_time_min | hms }}"',
        "#X '{{ job_mode }}'",
    ],
)
def test_the_fixed_parameters_may_stand_in_quotes_for_they_are_plain(line: str) -> None:
    define(FIVE + line).render(queue="q")


# --- many at once, and fast


def test_many_threads_render_at_once() -> None:
    made = define(
        FIVE + "{{ section('directives') }}\n#X {{ tag }}\n{{ section('body') }}\necho {{ stdin }}\n",
        directive_quote=staticmethod(lambda text: f'"{text}"'),
    )

    def render(number: int) -> bool:
        script = made.render(num_nodes=number + 1, given={"tag": f"t {number}", "stdin": f"s {number}"})
        return bool(script == f"#X {number + 1} 10 script - -\n#X \"t {number}\"\necho 's {number}'\n")

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(render, range(400)))


# --- the sentinel check


def test_the_sentinel_check_passes_a_template_whose_parameters_all_matter() -> None:
    made = define(
        FIVE
        + "{% if ssd %}ssd{% endif %}{{ kind }}{{ size | mb }}{% for x in xs %}{{ x }}{% endfor %}{{ after | join }}"
        "{% if depth %}{% if ssd %}{{ depth }}{% endif %}{% endif %}{{ day }}",
        Parameter("ssd", False, [str2bool]),
        Parameter("kind", "a", [one_of("a", "b")]),
        Parameter("size", "1G", [memory]),
        Parameter("xs", (), [list_of(word)]),
        Parameter("depth", None, [positive_int]),
        Parameter("day", "Mon", [lambda value: one_of("Mon", "Tue")(value)]),  # which tells nobody its choices
    )
    with pytest.raises(AssertionError, match=r"day \(no value to try"):
        sentinel_check(made)
    sentinel_check(made, values={"day": "Tue"})
    sentinel_check(LocalTemplate)


def test_the_sentinel_check_names_the_parameters_without_effect() -> None:
    made = define(
        FIVE + "{% if ssd %}{% endif %}{% set x = disk %}", Parameter("ssd", True, [str2bool]), Parameter("disk")
    )
    with pytest.raises(AssertionError, match="do not change the script: ssd, disk"):
        sentinel_check(made)


def test_only_templates_load_jinja() -> None:
    code = "import sys, psij_parsl.platforms.templates.parameters, psij_parsl.platforms.templates.quoting; assert 'jinja2' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3]).returncode == 0
