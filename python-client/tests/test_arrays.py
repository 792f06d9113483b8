"""Arrays on shelves, the same over every path: what is assigned is what comes back, durably."""

import gc
import pickle

import numpy as np
import pytest

import pmshelf

PLAIN = [
    np.arange(12, dtype=np.int32).reshape(3, 4),
    np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    np.array(3.5),
    np.zeros((0, 4), np.float32),
    np.arange(10, dtype=">i2"),
    np.array([1 + 2j, -3j]),
    np.array(["2026-11-20", "NaT"], dtype="datetime64[D]"),
    np.array([True, False]),
    np.array([b"ab", b"c"]),
    np.array(["añ", "z"]),
    np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
    np.arange(24)[::-2].reshape(3, 4),
    np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1),
    np.float16(1.5),
    np.random.default_rng(7).random(3_000_000),  # larger than one frame
]


@pytest.mark.parametrize("array", PLAIN, ids=lambda a: f"{np.asarray(a).dtype}{np.shape(a)}")
def test_what_is_assigned_comes_back_with_dtype_shape_and_order(shelf, array):
    shelf.x = array
    back = shelf.x
    assert isinstance(back, np.ndarray)
    assert back.dtype == np.asarray(array).dtype
    assert back.shape == np.shape(array)
    assert np.asarray(back).tobytes() == np.asarray(array).tobytes()
    fortran_only = np.asarray(array).flags.f_contiguous and not np.asarray(array).flags.c_contiguous
    assert back.flags.f_contiguous if fortran_only else back.flags.c_contiguous


def test_in_place_changes_are_there_after_persist_and_reconnect(shelf, reconnect):
    shelf.w = np.zeros(100_000)
    w = shelf.w
    w[3] = 1
    w[5000:5003] += 2
    w /= 2
    np.add(w, 1, out=w)
    w[::-1].sort()
    w.persist()
    expected = np.array(w)
    assert np.array_equal(reconnect(shelf).w, expected)


def test_persist_of_a_view_covers_the_view(shelf, reconnect):
    shelf.w = np.zeros(100_000)
    part = shelf.w[50_000:50_010]
    part[:] = 7
    part.persist()
    assert np.array_equal(reconnect(shelf).w[50_000:50_010], np.full(10, 7.0))


def test_persist_offset_counts_items_and_refuses_what_is_outside(shelf):
    shelf.w = np.zeros(10)
    w = shelf.w
    w.persist_offset(9, 1)
    w.persist_offset(10, 0)
    for offset, n in [(10, 1), (-1, 1), (0, 11), (5, -1)]:
        with pytest.raises(pmshelf.errors.OutOfRangeError):
            w.persist_offset(offset, n)


@pytest.mark.parametrize(
    "expression",
    [
        lambda s: s.x / 2, lambda s: -s.x, lambda s: np.sin(s.x), lambda s: s.y,
        lambda s: s.x[::-1], lambda s: 1 - s.x, lambda s: s.x[s.x > 3], lambda s: s.x.reshape(2, 5),
        lambda s: s.x @ s.y, lambda s: np.concatenate([s.x, s.y]), lambda s: s.x.astype("i4"),
    ],
)
def test_assignment_stores_what_the_expression_means(shelf, expression):
    shelf.x = np.arange(10.0)
    shelf.y = np.ones(10)
    expected = np.array(expression(shelf))
    shelf.x = expression(shelf)
    assert np.array_equal(shelf.x, expected)


def test_results_that_left_the_shelf_are_plain_and_views_are_shelved(shelf):
    shelf.x = np.arange(10.0)
    x = shelf.x
    for plain in (x + 1, np.sin(x), x.copy(), x[[1, 2]], x.astype("f4"), np.sort(x), x.cumsum()):
        assert type(plain) is np.ndarray
    for view in (x[2:5], x.reshape(2, 5), x.T, x.ravel(), x[::2]):
        assert isinstance(view, pmshelf.ShelvedArray)
        assert view.region_name == "x"
    x[2:5][0] = 99
    assert shelf.x[2] == 99 or shelf.x.path != "local"
    assert x.sum() == np.asarray(x).sum()


def test_augmented_assignment_keeps_the_region_and_is_durable(shelf, reconnect):
    shelf.x = np.arange(5.0)
    before = shelf._core.stat_region("x")["id"]
    shelf.x += 1
    assert shelf._core.stat_region("x")["id"] == before
    assert np.array_equal(reconnect(shelf).x, np.arange(5.0) + 1)


def test_replacing_leaves_old_arrays_readable(shelf):
    shelf.x = np.arange(5.0)
    old = shelf.x
    shelf.x = np.ones(3)
    assert np.array_equal(old, np.arange(5.0))
    assert np.array_equal(shelf.x, np.ones(3))


def test_ndarray_description_allocates_zeros_in_place(shelf):
    shelf.big = pmshelf.ndarray((1000, 250), np.float32)
    assert shelf.big.shape == (1000, 250)
    assert not shelf.big.any()
    shelf.empty = pmshelf.ndarray((0,), np.int8)
    assert shelf.empty.shape == (0,)
    shelf.f = pmshelf.ndarray((3, 4), order="F")
    assert shelf.f.flags.f_contiguous


def test_objects_are_refused_by_type(shelf):
    with pytest.raises(TypeError, match="Python objects"):
        shelf.x = np.array([{}, []], dtype=object)
    with pytest.raises(TypeError):
        shelf.x = pmshelf.ndarray((3,), object)
    assert "x" not in shelf


def test_missing_names_are_attribute_and_lookup_errors(shelf):
    with pytest.raises(AttributeError, match="nothing"):
        shelf.nothing
    with pytest.raises(LookupError):
        shelf["nothing"]
    with pytest.raises(AttributeError):
        del shelf.nothing
    assert "nothing" not in shelf
    assert getattr(shelf, "nothing", None) is None


def test_names_of_methods_are_reached_by_brackets_only(shelf):
    with pytest.raises(AttributeError, match=r"shelf\['items'\]"):
        shelf.items = np.zeros(1)
    shelf["items"] = np.zeros(1)
    shelf["naïve name/with slash"] = np.ones(2)
    assert sorted(shelf) == ["items", "naïve name/with slash"]
    for bad in ("", "x" * 4097, "a\0b"):
        with pytest.raises(pmshelf.errors.InvalidArgumentError):
            shelf[bad] = np.zeros(1)


def test_items_used_and_len_tell_what_is_there(shelf):
    assert len(shelf) == 0 and shelf.items == []
    shelf.a = np.zeros((2, 3))
    shelf.b = np.zeros(4, np.int8)
    assert shelf.get_item_names() == ["a", "b"]
    assert [(i.name, i.shape, i.dtype) for i in shelf.items] == [
        ("a", (2, 3), "float64"), ("b", (4,), "int8"),
    ]
    assert 0 < shelf.used <= 100
    assert "a: ndarray (2, 3) float64" in repr(shelf)


def test_erase_by_name_by_object_and_by_del(shelf):
    for name in "abc":
        shelf[name] = np.zeros(3)
    shelf.erase("a")
    shelf.erase(shelf.b)
    del shelf.c
    assert len(shelf) == 0
    with pytest.raises(pmshelf.errors.NotFoundError):
        shelf.erase("a")


def test_erase_of_something_referenced_names_it(shelf):
    shelf.x = np.zeros(3)
    view = np.asarray(shelf.x)[1:]
    with pytest.raises(pmshelf.errors.BusyError, match="'x'"):
        shelf.erase("x")
    del view
    gc.collect()
    shelf.erase("x")


def test_close_refuses_while_views_live_and_arrays_outlive_nothing(make_shelf):
    shelf = make_shelf()
    shelf.x = np.arange(3)
    plain_view = np.asarray(shelf.x)
    with pytest.raises(pmshelf.errors.BusyError, match="'x'"):
        shelf.close()
    del plain_view
    gc.collect()
    shelf.close()
    shelf.close()
    with pytest.raises(pmshelf.errors.InvalidArgumentError, match="closed"):
        shelf.x = np.zeros(1)


def test_an_array_keeps_its_memory_alive_without_its_shelf(make_shelf):
    shelf = make_shelf()
    shelf.x = np.arange(1000)
    array = shelf.x[10:20]
    del shelf
    gc.collect()
    assert np.array_equal(array, np.arange(10, 20))


def test_rename_keeps_open_arrays(shelf):
    shelf.a = np.arange(4)
    array = shelf.a
    shelf.rename("a", "b")
    assert "a" not in shelf and np.array_equal(shelf.b, array)
    shelf.c = np.zeros(1)
    with pytest.raises(pmshelf.errors.AlreadyExistsError):
        shelf.rename("b", "c")
    shelf.rename("b", "c", replace=True)
    assert np.array_equal(shelf.c, np.arange(4))


def test_refresh_shows_what_another_client_wrote(shelf, reconnect):
    shelf.x = np.zeros(10_000)
    mine = shelf.x
    other = reconnect(shelf).x
    other[9_000] = 5
    other.persist()
    mine[1] = 3  # changed here, not persisted: must stay
    mine.refresh()
    assert mine[9_000] == 5 and mine[1] == 3


def test_a_full_shelf_says_so_and_goes_on_after_an_erase(make_shelf):
    shelf = make_shelf(size_mb=8)
    shelf.a = np.zeros(4 << 20, np.uint8)
    with pytest.raises(pmshelf.errors.NoSpaceError):
        shelf.b = np.zeros(8 << 20, np.uint8)
    assert np.array_equal(shelf.a, np.zeros(4 << 20, np.uint8))
    shelf.erase("a")
    shelf.b = np.ones(4 << 20, np.uint8)
    assert shelf.b.all()


def test_reopening_with_another_size_grows_or_says_why_not(make_shelf):
    shelf = make_shelf(size_mb=16)
    assert make_shelf(name=shelf.name, size_mb=32).capacity_bytes >= 32 << 20
    with pytest.raises(pmshelf.errors.InvalidArgumentError, match="shrink"):
        make_shelf(name=shelf.name, size_mb=8)


def test_read_only_shelves_refuse_changes(make_shelf):
    shelf = make_shelf()
    shelf.x = np.arange(3)
    reader = make_shelf(name=shelf.name, read_only=True)
    assert np.array_equal(reader.x, np.arange(3))
    with pytest.raises(pmshelf.errors.ReadOnlyError):
        reader.x = np.zeros(3)
    with pytest.raises(ValueError):
        reader.x[0] = 1


def test_shelved_arrays_pickle_and_copy_as_plain_arrays(shelf):
    shelf.x = np.arange(3)
    back = pickle.loads(pickle.dumps(shelf.x))
    assert type(back) is np.ndarray and np.array_equal(back, np.arange(3))


def test_raw_regions_of_other_tools_are_bytes(shelf):
    shelf._core.put("raw", b"hello")
    assert shelf.raw.dtype == np.uint8 and shelf.raw.tobytes() == b"hello"


def test_errors_have_numbers_names_and_python_bases():
    from pmshelf import _core, errors

    for code, name in enumerate(_core.CODE_NAMES[1:], 1):
        error = errors.make(code, "words")
        assert error.code == code and str(error) == "words", name
        assert type(error) is not errors.Error, f"{name} has no class of its own"
    assert issubclass(errors.DeadlineExceededError, TimeoutError)
    assert isinstance(errors.make(999, "x"), pmshelf.Error)
