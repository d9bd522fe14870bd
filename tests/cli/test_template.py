"""Templates: Go's syntax over JSON's types."""

import pytest

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
        ('{{index .Labels "none"}}', "<nil>"),
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
        ("{{'x'}}", "unexpected"),
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
        ("{{.Foo}}", "no entry for key 'Foo'"),
        ("{{.Nothing.Foo}}", "nil has no field Foo"),
        ("{{.Pid.Foo}}", "can't evaluate field Foo"),
        ("{{$x}}", "undefined variable"),
        ("{{index .Cmd 9}}", "out of range"),
        ("{{index .Pid 0}}", "can't index"),
        ("{{slice .Id 1 99}}", "out of range"),
        ("{{len .Pid}}", "has no length"),
        ("{{join .Pid `,`}}", "needs a list"),
        ("{{lt .Pid .Id}}", "incompatible types"),
        ("{{upper}}", "wrong arguments"),
        ("{{upper .Id .Id}}", "wrong arguments"),
        ("{{.Id .Pid}}", "arguments"),
        ("{{range .Running}}x{{end}}", "can't iterate"),
        ("{{and}}", "wrong arguments"),
    ],
)
def test_what_the_data_does_not_have(form: str, words: str) -> None:
    with pytest.raises(CliError) as caught:
        rendered(form)
    assert words in caught.value.message


def test_a_heading_is_the_template_over_the_columns_names() -> None:
    rows = Rows('{{.ID}}\t{{.Label "com.a-b_c"}}')
    assert rows.heading({"ID": "CONTAINER ID"}) == "CONTAINER ID\ta b c"
