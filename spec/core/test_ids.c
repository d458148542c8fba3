/* The list of ids, against a naive one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "ids.h"
#include "support.h"

static void test_order_and_repeats(void **state) {
    (void)state;
    zl_ids ids = {0};
    const char *const given[] = {"b", "a", "b", "c", "a", "B", "ab", "b "};
    const char *const kept[] = {"b", "a", "c", "B", "ab", "b "};
    for (size_t i = 0; i < COUNT(given); i++) {
        assert_int_equal(zl_ids_add(&ids, zl_view_of(given[i])), ZL_OK);
    }
    assert_int_equal(ids.count, COUNT(kept));
    for (size_t i = 0; i < COUNT(kept); i++) {
        size_t index = 99;
        assert_view(zl_ids_at(&ids, i), kept[i]);
        assert_true(zl_ids_find(&ids, zl_view_of(kept[i]), &index));
        assert_int_equal(index, i);
        assert_true(zl_ids_find(&ids, zl_view_of(kept[i]), NULL));
    }
    assert_false(zl_ids_find(&ids, ZL_LIT("d"), NULL));
    assert_false(
        zl_ids_find(&ids, ZL_LIT("ba"), NULL)); /* the bytes of two ids that are neighbours */
    zl_ids_free(&ids);
}

static void test_what_is_no_id(void **state) {
    (void)state;
    zl_ids ids = {0};
    const zl_view none[] = {{NULL, 0},      ZL_LIT(""),      ZL_LIT("a\0b"),        ZL_LIT("\0"),
                            ZL_LIT("\xFF"), ZL_LIT("a\xC3"), ZL_LIT("\xED\xA0\x80")};
    for (size_t i = 0; i < COUNT(none); i++) {
        assert_int_equal(zl_ids_add(&ids, none[i]), ZL_ERR_ARG);
    }
    assert_int_equal(ids.count, 0);
    assert_int_equal(zl_ids_add(&ids, ZL_LIT("Z\xC3\xBCrich \"\\\n")), ZL_OK);
    assert_int_equal(ids.count, 1);
    zl_ids_free(&ids);
}

/* Whole words of ASCII are passed over at once. */
static void test_a_bad_byte_anywhere(void **state) {
    (void)state;
    zl_ids ids = {0};
    for (size_t len = 1; len <= 20; len++) {
        for (size_t at = 0; at < len; at++) {
            char id[20];
            memset(id, 'a', sizeof id);
            id[at] = '\xFF';
            assert_int_equal(zl_ids_add(&ids, (zl_view){id, len}), ZL_ERR_ARG);
        }
    }
    assert_int_equal(ids.count, 0);
}

static void test_room_made_before(void **state) {
    (void)state;
    zl_ids ids = {0};
    assert_true(zl_ids_reserve(&ids, 100));
    const void *ends = ids.ends, *table = ids.table;
    add_ids(&ids, "id-", 100);
    assert_true(ids.count == 100 && ids.ends == ends && ids.table == table);
    assert_true(zl_ids_reserve(&ids, 0) && ids.ends == ends);
    assert_false(zl_ids_reserve(&ids, (size_t)INT32_MAX + 1));
    alloc_fail_at(2, false);
    assert_false(zl_ids_reserve(&ids, 1000));
    alloc_fail_at(0, false);
    assert_view(zl_ids_at(&ids, 99), "id-99");
    assert_true(zl_ids_find(&ids, ZL_LIT("id-99"), NULL));
    zl_ids_free(&ids);
}

static void test_an_empty_list(void **state) {
    (void)state;
    zl_ids ids = {0}, other = {0};
    assert_false(zl_ids_find(&ids, ZL_LIT("a"), NULL));
    zl_ids_move(&other, &ids);
    assert_int_equal(other.count, 0);
    zl_ids_free(&ids);
    zl_ids_free(&other);
    zl_ids_free(&other);
}

static void test_move(void **state) {
    (void)state;
    zl_ids from = {0}, to = {0};
    add_ids(&from, "from-", 100);
    add_ids(&to, "to-", 50);
    zl_ids_move(&to, &from);
    assert_int_equal(from.count, 0);
    assert_int_equal(to.count, 100);
    assert_view(zl_ids_at(&to, 99), "from-99");
    assert_false(zl_ids_find(&to, ZL_LIT("to-1"), NULL));
    add_ids(&from, "again-", 3); /* an emptied list is a list */
    assert_int_equal(from.count, 3);
    zl_ids_free(&from);
    zl_ids_free(&to);
}

enum { MODEL_MAX = 600 };

static void test_against_a_naive_list(void **state) {
    (void)state;
    rng r = {1};
    for (size_t round = 0; round < repetitions(300); round++) {
        char model[MODEL_MAX][24];
        size_t count = 0;
        size_t variety = 1 + rng_below(&r, 2 * MODEL_MAX); /* how often ids come twice */
        zl_ids ids = {0};
        for (size_t i = rng_below(&r, MODEL_MAX); i > 0; i--) {
            char id[24];
            (void)snprintf(id, sizeof id, "%zx", rng_below(&r, variety) * 7919);
            size_t at = 0;
            while (at < count && strcmp(model[at], id) != 0) {
                at++;
            }
            assert_int_equal(zl_ids_find(&ids, zl_view_of(id), NULL), at < count);
            if (at == count) {
                memcpy(model[count++], id, sizeof id);
            }
            assert_int_equal(zl_ids_add(&ids, zl_view_of(id)), ZL_OK);
            assert_int_equal(ids.count, count);
        }
        for (size_t i = 0; i < count; i++) {
            size_t index = 0;
            assert_view(zl_ids_at(&ids, i), model[i]);
            assert_true(zl_ids_find(&ids, zl_view_of(model[i]), &index));
            assert_int_equal(index, i);
        }
        zl_ids_free(&ids);
    }
}

/* Ids of all lengths; some may not stand in JSON as they are. */
static void random_id(rng *r, char out[40]) {
    static const char *const ends[] = {"", "", "", "\"", "\\", "\n", "\xC3\xBC", "\x7F"};
    size_t len = rng_below(r, 30);
    for (size_t i = 0; i < len; i++) {
        out[i] = (char)('a' + rng_below(r, 3));
    }
    out[len] = '\0';
    (void)snprintf(out + len, 40 - len, "%zu%s", rng_below(r, 100),
                   ends[rng_below(r, rng_below(r, 4) == 0 ? COUNT(ends) : 1)]);
}

static bool is_as_it_is(const char *text) {
    size_t i = 0;
    while (text[i] >= 0x20 && text[i] != '"' && text[i] != '\\') {
        i++;
    }
    return text[i] == '\0';
}

/* What a JSON list has of some ids that follow one another, in one piece; nothing else. */
static void test_pieces_of_json(void **state) {
    (void)state;
    rng r = {2};
    for (size_t round = 0; round < repetitions(2000); round++) {
        zl_ids ids = {0};
        bool as_it_is = true;
        for (size_t i = 1 + rng_below(&r, 12); i > 0; i--) {
            char id[40];
            random_id(&r, id);
            as_it_is = as_it_is && is_as_it_is(id);
            assert_int_equal(zl_ids_add(&ids, zl_view_of(id)), ZL_OK);
        }
        size_t which[12], first = rng_below(&r, ids.count);
        size_t count = 1 + rng_below(&r, ids.count - first);
        zl_buf joined = {0};
        for (size_t i = 0; i < count; i++) {
            which[i] = first + i;
            zl_buf_add_text(&joined, i == 0 ? "" : "\",\"");
            zl_buf_add_view(&joined, zl_ids_at(&ids, which[i]));
        }
        zl_view piece = zl_ids_in_json(&ids, which, count);
        assert_true(as_it_is ? zl_view_equal(piece, zl_buf_view(&joined)) : piece.len == 0);
        assert_int_equal(zl_ids_in_json(&ids, which, 0).len, 0);
        if (count > 1) { /* in another order they are no piece */
            which[0] = which[1];
            assert_int_equal(zl_ids_in_json(&ids, which, count).len, 0);
        }
        zl_buf_free(&joined);
        zl_ids_free(&ids);
    }
}

/* However ids differ, by few bytes anywhere: a look for one goes past hardly any other. */
static void test_the_table_is_spread(void **state) {
    (void)state;
    static const char *const forms[] = {
        "%zu",
        "instance-%08zu",
        "%zu-instance",
        "1234567890123456%zu",
        "%08zx-aaaa-bbbb-cccc",
        "i-%06zxaaaaaaaaaaaaaaaaaaaaaaaa",
        "aaaaaaaaaaaaaaaaaaaaaaa%zx",
        "%04zx0000%04zx",
    };
    for (size_t f = 0; f < COUNT(forms); f++) {
        zl_ids ids = {0};
        for (size_t i = 0; i < 4096; i++) {
            char id[64];
            (void)snprintf(id, sizeof id, forms[f], i, i);
            assert_int_equal(zl_ids_add(&ids, zl_view_of(id)), ZL_OK);
        }
        size_t passed = 0, mask = ids.table_size - 1;
        for (size_t at = 0; at <= mask; at++) {
            passed += ids.table[at].number != 0 ? (at - ids.table[at].hash) & mask : 0;
        }
        assert_in_range(passed, 0, 4096); /* one each; of random numbers it is a half */
        zl_ids_free(&ids);
    }
}

static void test_a_large_list(void **state) {
    (void)state;
    zl_ids ids = {0};
    size_t count = repetitions(200000);
    add_ids(&ids, "instance-", count);
    add_ids(&ids, "instance-", count);
    assert_int_equal(ids.count, count);
    zl_ids_free(&ids);
}

/* Out of memory at each allocation: the list is as it was, and the same id can be added later. */
static void test_out_of_memory(void **state) {
    (void)state;
    zl_ids ids = {0};
    size_t failures = 0;
    for (int i = 0; i < 200; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "id-%d", i);
        int rc = ZL_ERR_NOMEM;
        for (size_t k = 1; rc != ZL_OK; k++) {
            alloc_fail_at(k, false);
            rc = zl_ids_add(&ids, zl_view_of(id));
            alloc_fail_at(0, false);
            if (rc != ZL_OK) {
                failures++;
                assert_int_equal(rc, ZL_ERR_NOMEM);
                assert_int_equal(ids.count, i);
                assert_false(zl_ids_find(&ids, zl_view_of(id), NULL));
            }
        }
        assert_int_equal(ids.count, i + 1);
        for (int j = 0; j <= i; j++) {
            (void)snprintf(id, sizeof id, "id-%d", j);
            assert_view(zl_ids_at(&ids, (size_t)j), id);
        }
    }
    assert_in_range(failures, 10, 100);
    zl_ids_free(&ids);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_repeats),    cmocka_unit_test(test_what_is_no_id),
        cmocka_unit_test(test_an_empty_list),        cmocka_unit_test(test_move),
        cmocka_unit_test(test_against_a_naive_list), cmocka_unit_test(test_pieces_of_json),
        cmocka_unit_test(test_the_table_is_spread),  cmocka_unit_test(test_a_large_list),
        cmocka_unit_test(test_out_of_memory),        cmocka_unit_test(test_a_bad_byte_anywhere),
        cmocka_unit_test(test_room_made_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
