"""A method of one's own: a Python file, package.module:name, a plug-in, a YAML file with a preset."""

import importlib
import sys
import textwrap
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from rlvr_bench import catalog, plugins
from rlvr_bench.errors import EnvironmentFaultError, FileFormatError, NotFoundError, RewardError, UsageError
from rlvr_bench.rewards.rehearsal import rehearse
from rlvr_bench.schema.plan import Plan
from tests.fakes import planned

TEN_LINES = '''"""Reward an even number of letters."""
from rlvr_bench.rewards import texts


def reward(completions, answer, most=40, **_):
    return [float(len(text) % 2 == 0) for text in texts(completions)]
'''


def write(path: Path, text: str) -> str:
    path.write_text(textwrap.dedent(text))
    return str(path)


def test_a_python_file_is_a_method(tmp_path: Path) -> None:
    method = catalog.load_method(write(tmp_path / "My_Idea.py", TEN_LINES))
    assert (method.name, method.title, method.labels) == ("my-idea", "Reward an even number of letters.", True)
    (spec,) = method.rewards
    assert (spec.name, spec.parameters, spec.code) == ("My_Idea", {"most": 40}, TEN_LINES)
    assert rehearse(method) == ()
    plan = planned(method)
    again = Plan.model_validate_json(plan.model_dump_json())  # the plan alone is enough to run it
    assert rehearse(again.method) == ()
    changed = catalog.load_method(write(tmp_path / "My_Idea.py", TEN_LINES.replace("% 2", "% 3")))
    assert planned(changed).digest != plan.digest  # other code is other work


def test_what_a_file_may_say_besides(tmp_path: Path) -> None:
    text = """
        METHOD = {
            "name": "other", "title": "T", "source": "S", "data": "test-prompts", "preset": "dapo",
            "grpo": {"clip": 0.1}, "weight": 2.0, "parameters": {"most": 7},
        }

        def reward(completions, most=40, **_):
            return [float(most) for _ in completions]
        """
    method = catalog.load_method(write(tmp_path / "mine.py", text))
    assert (method.name, method.title, method.source, method.data) == ("other", "T", "S", "test-prompts")
    assert (method.grpo.clip, method.grpo.clip_high, method.preset) == (0.1, 0.28, "dapo")
    assert (method.rewards[0].weight, method.rewards[0].parameters) == (2.0, {"most": 7})


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        ("def reward(completions, **_)\n    return 1\n", "not valid Python", "mine.py:1"),
        ("import no_such_module\n", "cannot be executed: ModuleNotFoundError", "mine.py:1"),
        ("x = 1\ny = x / 0\n", "cannot be executed: ZeroDivisionError", "mine.py:2"),
        ("x = 1\n", "one function that takes `completions` is needed, here: none", None),
        (
            "def a(completions, **_): return []\ndef b(completions, **_): return []\n",
            "is needed, here: a, b",
            None,
        ),
        ("def reward(completions): return []\n", "add **_ at its end", None),
        ("def reward(completions, x, **_): return []\n", "needs the parameter 'x'", None),
        ("METHOD = 3\ndef reward(completions, **_): return []\n", "METHOD must be a dictionary", None),
        ("METHOD = {'dat': 'train'}\ndef reward(completions, **_): return []\n", "did you mean 'data'", None),
        ("METHOD = {'preset': 'paper'}\ndef reward(completions, **_): return []\n", "sets prompts_per_step", None),
        ("METHOD = {'rewards': []}\ndef reward(completions, **_): return []\n", "the function is the reward", None),
        ("METHOD = {'grpo': {'clp': 1}}\ndef reward(completions, **_): return []\n", "did you mean 'clip'", None),
        ("METHOD = {'title': 'a\\x1b[31mb'}\ndef reward(completions, **_): return []\n", "control characters", None),
        ("METHOD = {'labels': False}\ndef reward(answer, **_): return []\n", "set labels: true", None),
    ],
)
def test_slips_in_a_file_are_usage_errors(tmp_path: Path, text, words, line) -> None:
    with pytest.raises((FileFormatError, RewardError)) as caught:
        catalog.load_method(write(tmp_path / "mine.py", text))
    assert words in caught.value.message
    assert caught.value.exit_code == 2
    assert caught.value.where is not None
    if line:
        assert caught.value.where == line


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such method file"):
        catalog.load_method("./nothing.py")
    (tmp_path / "bytes.py").write_bytes(b"\xff\xfe")
    with pytest.raises(FileFormatError, match="not a text file"):
        catalog.load_method(str(tmp_path / "bytes.py"))


def test_package_module_name(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "some_ideas").mkdir()
    write(tmp_path / "some_ideas" / "__init__.py", "")
    write(
        tmp_path / "some_ideas" / "first.py",
        TEN_LINES + "\nWHOLE = {'schema_version': 1, 'name': 'whole',"
        " 'title': 't', 'source': 's', 'rewards': [{'name': 'some_ideas.first:reward'}], 'labels': True}\n",
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    method = catalog.load_method("some_ideas.first:reward")
    assert method.name == "first"  # `reward` says nothing, its module does
    assert method.rewards[0].name == "some_ideas.first:reward" and method.rewards[0].code is None
    assert rehearse(method) == ()
    assert catalog.load_method("some_ideas.first:WHOLE").name == "whole"
    # its source is part of the environment, as it is not in the plan
    assert plugins.source_digest(plugins.REWARDS, "some_ideas.first:reward") is not None
    assert plugins.source_digest(plugins.REWARDS, "boxed") is None
    for reference, error, words in (
        ("some_ideas.second:reward", NotFoundError, "no module 'some_ideas.second'"),
        ("nowhere.at.all:reward", NotFoundError, "no module 'nowhere'"),
        ("some_ideas.first:nothing", NotFoundError, "has no 'nothing'"),
        ("some_ideas.first:texts", FileFormatError, "any further keyword"),
        ("json:dumps", FileFormatError, "needs the parameter 'obj'"),
        ("math:hypot", FileFormatError, "takes no completions"),
        ("builtins:max", FileFormatError, "takes no completions"),
        (":x", NotFoundError, "is no package.module:name"),
        (".x:y", NotFoundError, "is no package.module:name"),
        ("math:pi", FileFormatError, "not float"),
    ):
        with pytest.raises(error, match=words):
            catalog.load_method(reference)
    write(tmp_path / "some_ideas" / "broken.py", "1 / 0")
    with pytest.raises(EnvironmentFaultError, match="division by zero"):
        catalog.load_method("some_ideas.broken:reward")


def test_plug_ins_declare_methods_and_a_broken_one_leaves_the_rest(tmp_path: Path, monkeypatch, capsys) -> None:
    from rlvr_bench.cli.app import run as rlvr_bench

    write(
        tmp_path / "declared.py",
        TEN_LINES + f"\nFILE = {str(catalog.folder('method') / 'format.yaml')!r}\nGONE = 'no/such.yaml'\n",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    real = plugins.entry_points
    mine = [
        EntryPoint("even", "declared:reward", plugins.METHODS),
        EntryPoint("filed", "declared:FILE", plugins.METHODS),
        EntryPoint("bad", "no_such_module_at_all:f", plugins.METHODS),
        EntryPoint("odd", "builtins:max", plugins.METHODS),
        EntryPoint("gone", "declared:GONE", plugins.METHODS),
    ]
    monkeypatch.setattr(plugins, "entry_points", lambda group: mine if group == plugins.METHODS else real(group=group))
    assert catalog.load_method("even").rewards[0].name == "declared:reward"
    assert catalog.load_method("even").name == "even"
    assert catalog.load_method("filed").name == "format"
    assert {"even", "filed", "bad", "ttrl"} <= set(catalog.method_names())
    with pytest.raises(EnvironmentFaultError, match="'bad'"):
        catalog.load_method("bad")
    assert rlvr_bench(["list", "methods"]) == 0
    out = capsys.readouterr().out
    assert "BROKEN: the plug-in for method 'bad'" in out and "even " in out and "TTRL" in out


def test_presets(tmp_path: Path) -> None:
    head = "schema_version: 1\nname: mine\ntitle: t\nsource: s\n"
    text = f"{head}rewards: [{{name: boxed}}]\npreset: gspo\ngrpo: {{clip: off}}\n"
    free = catalog.load_method(write(tmp_path / "mine.yaml", text)).settings(catalog.load_suite("micro").training)
    assert (free.clip, free.clip_high, free.importance) == ("off", None, "sequence")  # keys beside a preset win
    odd = text.replace("clip: off", "clip: off, clip_high: 0.3")
    with pytest.raises(ValueError, match="clip_high has no meaning"):
        catalog.load_method(write(tmp_path / "mine.yaml", odd)).settings(catalog.load_suite("micro").training)
    for name in catalog.names("preset"):
        preset = catalog.load_preset(name)
        assert preset.name == name and preset.source
    with pytest.raises(NotFoundError, match="did you mean 'dapo'"):
        catalog.load_method(write(tmp_path / "mine.yaml", text.replace("gspo", "dapoo")))
    with pytest.raises(FileFormatError, match="learning_rate"):
        catalog.load_method(write(tmp_path / "mine.yaml", text.replace("gspo", "paper")))
    with pytest.raises(FileFormatError, match="not a training setting"):
        write(tmp_path / "odd.yaml", "schema_version: 1\nname: odd\ntitle: t\nsource: s\nsettings: {clipp: 1}\n")
        catalog.load_preset(str(tmp_path / "odd.yaml"))


def test_the_papers_recipe_is_a_suites_training(tmp_path: Path) -> None:
    text = (catalog.folder("suite") / "micro.yaml").read_text()
    head = text[: text.index("training:\n")]
    suite = catalog.load_suite(write(tmp_path / "paper.yaml", head + "training: {preset: paper, steps: 300}\n"))
    s = suite.training
    assert (s.prompts_per_step, s.group_size, s.updates_per_step, s.steps) == (64, 16, 8, 300)
    assert s.prompts_per_step * s.group_size // s.updates_per_step == 128  # rollouts of one update
    assert (s.learning_rate, s.clip, s.kl, s.adam_beta2, s.loss) == (5e-7, 0.2, 0.0, 0.95, "grpo")
    own = catalog.load_suite(write(tmp_path / "own.yaml", head + "training: {preset: paper, steps: 300, clip: 0.3}\n"))
    assert own.training.clip == 0.3


def test_code_that_a_method_uses_is_part_of_its_digest_wherever_it_lies(tmp_path: Path, monkeypatch) -> None:
    from rlvr_bench.cli.inputs import plan_of

    (tmp_path / "apart").mkdir()
    write(tmp_path / "apart" / "__init__.py", "")
    write(
        tmp_path / "apart" / "idea.py",
        "from apart.limits import most\n\ndef reward(completions, **_):\n"
        "    return [float(len(str(c)) < most()) for c in completions]\n",
    )
    write(
        tmp_path / "beside.py",
        "from apart.limits import most\n\ndef reward(completions, **_):\n"
        "    return [float(len(str(c)) < most()) for c in completions]\n",
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def digests() -> tuple[str, str]:
        for name in [m for m in sys.modules if m.startswith(("apart", "rlvr_bench_method_"))]:
            del sys.modules[name]
        importlib.invalidate_caches()
        return plan_of("apart.idea:reward", "micro").plan.digest, plan_of("./beside.py", "micro").plan.digest

    write(tmp_path / "apart" / "limits.py", "def most():\n    return 40\n")
    first = digests()
    assert digests() == first
    write(tmp_path / "apart" / "limits.py", "def most():\n    return 4000\n")
    second = digests()
    assert first[0] != second[0] and first[1] != second[1]


def test_a_plug_in_cannot_take_the_name_of_a_reward_of_ours(monkeypatch) -> None:
    real = plugins.entry_points
    mine = EntryPoint("random", "json:dumps", plugins.REWARDS)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [mine, *real(group=group)])
    assert plugins.load(plugins.REWARDS, "random").__module__ == "rlvr_bench.rewards.spurious"
    assert plugins.is_builtin(plugins.REWARDS, "random")


def test_a_yaml_file_holds_no_code(tmp_path: Path) -> None:
    text = """
        schema_version: 1
        name: mine
        title: t
        source: s
        rewards: [{not: {name: x, code: "raise SystemExit('executed')"}}]
        """
    with pytest.raises(FileFormatError, match="holds no code"):
        catalog.load_method(write(tmp_path / "mine.yaml", text))


@pytest.mark.parametrize(("reward", "preparation"), [("label", ""), ("ground-truth", "preparation: {labels: wrong}\n")])
def test_a_label_is_prepared_and_ground_truth_is_gold(tmp_path: Path, reward, preparation) -> None:
    text = "schema_version: 1\nname: mine\ntitle: t\nsource: s\nlabels: true\n"
    text += f"rewards: [{{not: {{name: {reward}}}}}]\n{preparation}"
    with pytest.raises(FileFormatError, match="is for prepared labels"):
        catalog.load_method(write(tmp_path / "mine.yaml", text))


def test_gold_answers_of_tested_problems_are_never_trained_on(tmp_path: Path) -> None:
    from rlvr_bench.backends.data import load_problems
    from rlvr_bench.cli.inputs import bring, plan_of

    suite = catalog.load_suite("micro")
    problem = load_problems(suite.tasks[0].problems)[3]
    head = "schema_version: 1\nname: mine\ntitle: t\nsource: s\nrewards: [{name: ground-truth}]\nlabels: true\n"
    quoted = problem.problem.upper().replace("\n", " \\n ")
    own = f'data: one-example\nexample: {{problem: "{quoted}", answer: "{problem.answer}"}}\n'
    with pytest.raises(UsageError, match="gold answer of an evaluation problem: its example example is test-31-"):
        plan_of(write(tmp_path / "mine.yaml", head + own), "micro")
    with pytest.raises(UsageError, match="there are 4000 training problems"):
        plan_of(write(tmp_path / "far.yaml", head + "data: one-example\nexample: {index: 4000}\n"), "micro")
    text = (catalog.folder("suite") / "micro.yaml").read_text()
    text = text.replace("count: 4000\n  arguments: {split: train", "count: 390\n  arguments: {split: test")
    leaking = plan_of("python", write(tmp_path / "leak.yaml", text))
    with pytest.raises(UsageError, match="all 390 training problems are problems of the evaluation"):
        bring(leaking, tmp_path, lambda _: None)
    text = text.replace("count: 390", "count: 500")
    told: list[str] = []
    bring(plan_of("python", write(tmp_path / "some.yaml", text)), tmp_path, told.append)
    assert told == ["400 of 500 training problems are left out: they are problems of the evaluation"]


def test_a_suites_files_lie_beside_it_and_where_is_no_part_of_the_plan(tmp_path: Path, monkeypatch) -> None:
    from rlvr_bench.cli.inputs import plan_of

    text = (catalog.folder("suite") / "micro.yaml").read_text()
    text = text.replace("control: random", "control: ./flip.yaml").replace("prompts: [", "prompts: [./ask.yaml, ")
    for where in ("a", "b"):
        (tmp_path / where).mkdir()
        write(tmp_path / where / "suite.yaml", text)
        flip = (
            (catalog.folder("method") / "random.yaml").read_text().replace("name: random\ntitle", "name: flip\ntitle")
        )
        write(tmp_path / where / "flip.yaml", flip)
        write(tmp_path / where / "ask.yaml", "schema_version: 1\nname: ask\ntitle: t\nsource: s\n")
    monkeypatch.chdir(tmp_path)
    one, other = plan_of("python", "a/suite.yaml"), plan_of("python", str(tmp_path / "b" / "suite.yaml"))
    one, other = one.plan, other.plan
    assert one.digest == other.digest
    assert one.suite.prompts[0] == "ask" and one.control is not None and one.control.name == "flip"
    assert plan_of("python", "a/suite.yaml", models=["micro-qwen-a"]).plan.partial
    for change, words in (
        ("control: ground-truth", "needs labels"),
        ("control: ./broken.py", "raised ZeroDivisionError"),
        ("control: random\nreference: random", "two arms are called random"),
    ):
        write(tmp_path / "a" / "broken.py", "def reward(completions, **_):\n    return 1 / 0\n")
        changed = text.replace("reference: ground-truth\n", "") if "reference" in change else text
        write(tmp_path / "a" / "suite.yaml", changed.replace("control: ./flip.yaml", change))
        with pytest.raises(UsageError, match=words):
            plan_of("python", "a/suite.yaml")
