"""A box drawn on a picture is what is blackened; without a mouse the same is typed."""

from __future__ import annotations

from collections.abc import Callable

from tests.browser.conftest import Seat
from tests.pages_lab import NodeLab

from wardround.dicom.pixels_boxes import Box
from wardround.node.review import queries
from wardround.node.review.state import ReviewState
from wardround.people.roles import Role

Sit = Callable[..., Seat]


def test_a_box_that_is_drawn_on_the_picture_is_blackened(sit: Sit, node: NodeLab) -> None:
    seat = sit(node.face, Role.RADIOLOGIST.value, viewport={"width": 1200, "height": 1400})
    page = seat.go("/review")
    page.get_by_role("link", name="2", exact=True).click()
    page.wait_for_selector(".easel-on rect.kept")
    # An expression that Playwright waits for is evaluated, which the pages' policy forbids; one call isn't.
    page.locator(".easel img").evaluate("image => image.decode()")
    place = page.locator(".easel").bounding_box()
    assert place is not None
    # The picture has 16 rows and columns: from the middle of column 1, row 9 to that of column 5, row 11.
    one = place["width"] / 16
    page.mouse.move(place["x"] + 1.5 * one, place["y"] + 9.5 * one)
    page.mouse.down()
    page.mouse.move(place["x"] + 5.5 * one, place["y"] + 11.5 * one)
    page.mouse.up()
    second = page.get_by_role("group", name="Box 2")
    typed = [second.get_by_label(name).input_value() for name in ("Row", "Column", "Height", "Width", "Frame")]
    assert typed == ["9", "1", "3", "5", ""]
    assert page.locator(".easel rect.kept").count() == 2
    first = page.get_by_role("group", name="Box 1")
    for name in ("Row", "Column", "Height", "Width"):
        first.get_by_label(name).fill("")
    assert page.locator(".easel rect.kept").count() == 1, "what was found and isn't there is emptied"
    page.get_by_label("Why, in words; name no patient").fill("a mark at the left")
    page.get_by_role("button", name="Blacken these areas, and let it pass").click()
    page.get_by_text("1 image was let pass with areas blackened").wait_for()
    with node.home.database.reading() as session:
        decided = queries.review(session, 2)
    assert decided.state is ReviewState.REDACTED and decided.blackened == (Box(9, 1, 3, 5),)
