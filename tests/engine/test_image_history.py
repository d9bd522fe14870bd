"""An image's history: whose size is which step's, as dockerd 20.10 answered for the same config."""

from wherry.engine import image_views
from wherry.images.image import Image
from wherry.reference import parse
from wherry.spec.digest import Digest
from wherry.spec.image import Descriptor, History, ImageConfig, RootFS

LAYERS = (Digest.of(b"1"), Digest.of(b"2"))


def image(*steps: History) -> Image:
    config = ImageConfig(RootFS("layers", LAYERS), history=steps)
    target = Descriptor("a/b", Digest.of(b"m"), 1)
    names = (parse("h:1"), parse("h:2"))
    return Image(Digest.of(b"c"), names, target, target.digest, config, LAYERS, 9, 0)


def test_the_newest_step_is_first_and_the_image_s_own() -> None:
    steps = image_views.history(
        image(
            History("2024-01-01T00:00:00Z", "one", comment="c"),
            History("2024-01-01T00:00:00Z", "two", empty_layer=True),
            History("2024-01-02T00:00:00.5+01:00", "three"),
        ),
        [3, 6],
    )
    assert [(step.created_by, step.size, step.created, step.comment) for step in steps] == [
        ("three", 6, 1704150000, ""),
        ("two", 0, 1704067200, ""),
        ("one", 3, 1704067200, "c"),
    ]
    assert [(step.id, step.tags) for step in steps] == [
        (str(Digest.of(b"c")), ["h:1", "h:2"]),
        ("<missing>", None),
        ("<missing>", None),
    ]


def test_what_a_config_does_not_say_is_not_made_up() -> None:
    assert image_views.history(image(), [3, 6]) == []
    (step,) = image_views.history(image(History()), [3, 6])
    assert (step.created, step.created_by, step.size) == (-62135596800, "", 3)
    steps = image_views.history(image(*[History(created_by=str(n)) for n in range(3)]), [3, 6])
    assert [step.size for step in steps] == [0, 6, 3]
