"""The sheet of retrieved pictures and captions."""

import numpy as np

from clipplus.visualization.drawing import BLANK, PAPER, RIGHT
from clipplus.visualization.gallery import Gallery, ImageQuery, TextQuery, choose_queries, draw_gallery, text_row_corner
from clipplus.visualization.thumbnails import first_by_lot


def picture(sample_id):
    return np.full((6, 6, 3), (sample_id * 20, 50, 200 - sample_id * 20), np.uint8)


def prediction(sample_id, captions=2):
    return dict(
        sample_id=sample_id,
        captions=[f"caption {i} of {sample_id}" for i in range(captions)],
        image_to_text=[[sample_id, 1, 0.9], [(sample_id + 1) % 9, 0, 0.4]],
        text_to_image=[[[(sample_id + 1) % 9, 0.8], [sample_id, 0.7]], [[sample_id, 0.6]]],
    )


def pixel_at_centre(image, row, place, tile):
    x, y = text_row_corner(row, place, tile)
    return image.getpixel((x + tile // 2, y + tile // 2))


def test_queries_are_chosen_by_lot_with_their_own_captions_marked():
    gallery = choose_queries([prediction(i) for i in range(9)], count=3)
    chosen = first_by_lot(range(9), 3)
    assert [query.own for query in gallery.texts] == chosen
    first = chosen[0]
    after = (first + 1) % 9
    assert gallery.texts[0] == TextQuery(f"caption 0 of {first}", first, [(after, 0.8), (first, 0.7)])
    assert gallery.images[0] == ImageQuery(
        first, [(f"caption 1 of {first}", True, 0.9), (f"caption 0 of {after}", False, 0.4)]
    )
    assert gallery.pictures == {i for own in chosen for i in (own, (own + 1) % 9)}


def test_batches_without_texts_give_captions_by_number():
    record = prediction(0) | dict(captions=[], image_to_text=[[0, 1, 0.9]], text_to_image=[[[0, 0.8]]])
    gallery = choose_queries([record])
    assert gallery.texts[0].caption == "caption 0 of #0"
    assert gallery.images[0].found == [("caption 1 of #0", True, 0.9)]


def test_own_and_found_pictures_stand_in_their_places_and_the_own_one_is_framed():
    gallery = Gallery(
        [TextQuery("a ring", 2, [(3, 0.9), (2, 0.8), (7, 0.1)]), TextQuery("a star", 5, [(5, 0.9)])],
        [ImageQuery(2, [("a ring", True, 0.9), ("a star", False, 0.5)])],
    )
    image = draw_gallery("shapes", gallery, {i: picture(i) for i in range(9)}, tile=40)
    expected = {(0, 0): 2, (0, 1): 3, (0, 2): 2, (0, 3): 7, (1, 0): 5, (1, 1): 5}
    for (row, place), sample_id in expected.items():
        assert pixel_at_centre(image, row, place, 40) == tuple(picture(sample_id)[0, 0])
        x, y = text_row_corner(row, place, 40)
        framed = place > 0 and sample_id == gallery.texts[row].own
        assert image.getpixel((x - 2, y + 20)) == (RIGHT if framed else PAPER)


def test_pictures_that_were_not_kept_are_blank():
    gallery = Gallery([TextQuery("a ring", 2, [(3, 0.9)])], [ImageQuery(2, [("a ring", True, 0.9)])])
    image = draw_gallery("shapes", gallery, {2: picture(2)}, tile=40)
    x, y = text_row_corner(0, 1, 40)
    assert image.getpixel((x + 1, y + 1)) == BLANK
    assert pixel_at_centre(image, 0, 0, 40) == tuple(picture(2)[0, 0])


def test_the_picture_query_stands_below_the_texts_and_own_captions_are_green():
    for own in (True, False):
        gallery = Gallery([TextQuery("a ring", 2, [(2, 0.9)])], [ImageQuery(4, [("a star", own, 0.9)])])
        image = np.asarray(draw_gallery("shapes", gallery, {4: picture(4)}, tile=40))
        lower = image[text_row_corner(1, 0, 40)[1] :]
        assert (lower == picture(4)[0, 0]).all(axis=-1).sum() == 40 * 40
        assert (lower == RIGHT).all(axis=-1).any() == own
