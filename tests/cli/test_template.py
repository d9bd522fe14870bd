"""Templates: Go's syntax over JSON's types."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.cli.errors import CliError
from wherry.cli.rendering import Documents, Rows

DOCUMENT = {
    "Id": "abcdef",
    "Running": True,
    "Pid": 42,
    "Ratio": 1.5,
    "Nothing": None,
    "Cmd": ["sh", "-c", "true"],
    "Empty": [],
    "Binds": None,
    "Volumes": None,
    "Labels": {"b": "2", "a.dot": "1"},
    "State": {"Health": {"Status": "ok"}},
}


def rendered(form: str) -> str:
    return Documents(form).render(DOCUMENT)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("{{.Id}}", "abcdef"),
        ("{{ .Id }}-{{.Pid}}", "abcdef-42"),
        ("{{.State.Health.Status}}", "ok"),
        ("{{(.State).Health.Status}}", "ok"),
        ("{{$.Id}}", "abcdef"),
        ("{{.ID}}", "abcdef"),
        ("{{.Running}} {{.Ratio}} {{.Nothing}}", "true 1.5 <nil>"),
        ("{{.Cmd}} {{.Labels}} {{.Empty}}", "[sh -c true] map[a.dot:1 b:2] []"),
        ("{{json .Cmd}} {{json .Id}} {{json .Nothing}}", '["sh","-c","true"] "abcdef" null'),
        ("{{index .Cmd 0}} {{index .Labels `a.dot`}}", "sh 1"),
        ('{{index .Labels "none"}}|{{.Labels.none}}|', "|<no value>|"),
        ("{{.Labels.none.more}}", "<no value>"),
        ('{{join .Cmd "+"}}', "sh+-c+true"),
        ("{{.Cmd | len}} {{len .Id}} {{len .Labels}}", "3 6 2"),
        ("{{upper .Id}} {{.Id | title}} {{lower `AB`}}", "ABCDEF Abcdef ab"),
        ("{{slice .Id 1 3}} {{truncate .Id 2}} [{{pad .Id 1 2}}]", "bc ab [ abcdef  ]"),
        ('{{split "a-b" "-"}}', "[a b]"),
        ('{{print "a" 1 2 "b"}}|{{println "a" 1}}', "a1 2b|a 1\n"),
        (
            '{{printf "%s %d %q %5s|%-5s|%v%%" .Id .Pid "x" "a" "b" .Cmd}}',
            'abcdef 42 "x"     a|b    |[sh -c true]%',
        ),
        ("{{if .Running}}yes{{else}}no{{end}}", "yes"),
        ("{{if .Empty}}a{{else if .Nothing}}b{{else}}c{{end}}", "c"),
        ("{{if and .Running (eq .Id `abcdef`)}}x{{end}}", "x"),
        ("{{if or .Nothing .Empty}}x{{else}}y{{end}}", "y"),
        ("{{not .Running}} {{ne .Pid 1}} {{lt .Pid 50}} {{ge .Pid 50}}", "false true true false"),
        ("{{range .Cmd}}<{{.}}>{{end}}", "<sh><-c><true>"),
        ("{{range $i, $word := .Cmd}}{{$i}}={{$word}},{{end}}", "0=sh,1=-c,2=true,"),
        ("{{range $key, $value := .Labels}}{{$key}}:{{$value}} {{end}}", "a.dot:1 b:2 "),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{range .Nothing}}x{{end}}", ""),
        ("{{with .State}}{{.Health.Status}}{{end}}", "ok"),
        ("{{with .Nothing}}x{{else}}y{{end}}", "y"),
        ("{{$x := .Id}}{{$x}}{{$x}}", "abcdefabcdef"),
        ("{{range .Cmd}}{{$.Pid}} {{end}}", "42 42 42 "),
        ("a  {{- .Pid -}}  b", "a42b"),
        ("{{/* a remark */}}x", "x"),
        ('{{"a\\tb\\u00e9\\x41"}}', "a\tbéA"),
        ("{{true}} {{nil}} {{0x10}} {{-1.5}}", "true <nil> 16 -1.5"),
        (
            '{{title "a bC-d e_f"}} {{truncate "abcdef" 9}} {{len (split "abc" "")}}',
            "A BC-D E_f abcdef 3",
        ),
        ("{{range .Cmd}}{{if eq . `-c`}}{{continue}}{{end}}{{.}} {{end}}", "sh true "),
        ("{{range .Cmd}}{{.}}{{break}}{{end}}", "sh"),
        ('{{"}}"}}{{`{{`}}', "}}{{"),
        ("{{'x'}} {{1234567.0}} {{12.5}} {{0.00001}} {{100.0}}", "120 1.234567e+06 12.5 1e-05 100"),
        ('{{html "<a>"}} {{urlquery "a b/é"}}', "&lt;a&gt; a+b%2F%C3%A9"),
        ('{{printf "%05d %x %t %d" 7 "hi" true "x"}}', "00007 6869 true %!d(string=x)"),
        ('{{printf "%d" 1 2}}{{printf "%s"}}', "1%!(EXTRA int=2)%!s(MISSING)"),
        ("{{.Binds}} {{len .Binds}} {{json .Binds}} {{.Volumes}}", "[] 0 null map[]"),
        ("{{if .State.Healthcheck}}a{{else}}b{{end}}", "b"),
        ("no action", "no action"),
        ("", ""),
    ],
)
def test_templates(form: str, text: str) -> None:
    assert rendered(form) == text


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("{{.Id", "unclosed action"),
        ("{{}}", "missing value"),
        ("{{.Id | }}", "missing value"),
        ("{{if}}x{{end}}", "missing value"),
        ("{{if .Id}}x", "no {{end}}"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{else}}", "unexpected {{else}}"),
        ("{{(.Id}}", "unclosed left paren"),
        ("{{.Id)}}", "unexpected"),
        ("{{'xy'}}", "malformed character constant"),
        ("{{$x}}", "undefined variable"),
        ("{{break}}", "outside {{range}}"),
        ("{{foo .Id}}", 'function "foo" not defined'),
        ("{{if (foo)}}{{end}}", 'function "foo" not defined'),
        ('{{define "x"}}{{end}}', "not supported"),
    ],
)
def test_what_is_no_template(form: str, words: str) -> None:
    with pytest.raises(CliError) as caught:
        Documents(form)
    assert words in caught.value.message
    assert caught.value.code == 64


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("{{.Foo}}", 'map has no entry for key "Foo"'),
        ("{{.Nothing.Foo}}", 'nil data; no entry for key "Foo"'),
        ("{{.Pid.Foo}}", "can't evaluate field Foo"),
        ("{{index .Cmd 9}}", "out of range"),
        ("{{index .Pid 0}}", "can't index"),
        ("{{slice .Id 1 99}}", "out of range"),
        ("{{len .Pid}}", "len of type int"),
        ("{{join .Pid `,`}}", "expected a list"),
        ("{{lt .Pid .Id}}", "incompatible types"),
        ("{{upper}}", "want 1 got 0"),
        ("{{upper .Id .Id}}", "want 1 got 2"),
        ("{{.Id .Pid}}", "arguments"),
        ("{{range .Running}}x{{end}}", "can't iterate"),
        ("{{and}}", "want at least 1 got 0"),
    ],
)
def test_what_the_data_does_not_have(form: str, words: str) -> None:
    with pytest.raises(CliError) as caught:
        rendered(form)
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("{{.Foo}}", 'template: :1:2: executing "" at <.Foo>: map has no entry for key "Foo"'),
        ("é\n {{ .State.Foo.Bar }}", 'template: :2:10: executing "" at <.State.Foo.Bar>: '),
        ("{{len 3 | len}}", 'template: :1:2: executing "" at <len 3>: error calling len: '),
        ("{{len}}", 'template: :1:2: executing "" at <len>: wrong number of args for len: want 1'),
        ("ab{{.Id", "template: :1:2: unclosed action"),
        ('é{{"x}}', "template: :1:4: unterminated quoted string"),
        ("\n{{if .Id}}", "template: :2:2: {{if}} has no {{end}}"),
        ("{{/* x }}", "template: :1:0: unclosed comment"),
    ],
)
def test_errors_say_where(form: str, message: str) -> None:
    with pytest.raises(CliError) as caught:
        rendered(form)
    assert f"template parsing error: {message}" in caught.value.message


def test_a_row_names_its_fields() -> None:
    with pytest.raises(CliError) as caught:
        Rows("{{.Foo}}").line({"ID": lambda: "x", "Names": lambda: "y"})
    assert "can't evaluate field Foo (there are ID, Names)" in caught.value.message


def test_a_heading_is_the_template_over_the_columns_names() -> None:
    rows = Rows('{{.ID}}\t{{.Label "com.a-b_c"}}')
    assert rows.heading({"ID": "CONTAINER ID"}) == "CONTAINER ID\ta b c"


PIECES = st.sampled_from(
    ["{{", "}}", "{{-", "-}}", " ", ".", ".Id", ".Cmd", "$", "$x", ":=", "|", "(", ")", ",", '"',
     "`", "'", "\\", "if", "else", "end", "range", "with", "break", "len", "index", "printf", "%d",
     "%", "1", "-", "+", "0x", "1e", "/*", "*/", "\n", "é", "x", "{", "}"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=12).map("".join))
@settings(max_examples=2000 if os.environ.get("WHERRY_SOAK") else 200, deadline=None)
def test_any_text_is_a_template_or_says_why_not(form: str) -> None:
    problem = ""
    try:
        rendered(form)
    except CliError as error:
        problem = error.message
    assert not problem or problem.startswith("template parsing error: template: :")


@given(st.text(max_size=20), st.text(max_size=20))
@settings(max_examples=100, deadline=None)
def test_text_stays_as_it_is(before: str, quoted: str) -> None:
    if "{{" not in before and "`" not in quoted and not before.endswith("{"):
        assert rendered(f"{before}{{{{`{quoted}`}}}}") == before + quoted
