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
        cmocka_unit_test(test_against_a_naive_list), cmocka_unit_test(test_a_large_list),
        cmocka_unit_test(test_out_of_memory),        cmocka_unit_test(test_a_bad_byte_anywhere),
        cmocka_unit_test(test_room_made_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
