/* The watch over instances that are to be STOPPED: whom it asks for, when, and what it makes of the
 * answers. */
#include <string.h>

#include "alloc.h"
#include "support.h"
#include "watch.h"

static const zl_watch_options usual = {
    .timeout_ms = 600000, .min_delay_ms = 2000, .max_delay_ms = 15000};

typedef struct fixture {
    zl_watch watch;
    zl_ids ids;
    size_t places[ZL_REQUEST_IDS_MAX]; /* of the last take */
    size_t batch;
} fixture;

/* `count` ids "i-0" …, all watched from 0 ms on, `per_batch` to a batch. */
static void begin(fixture *f, size_t count, size_t per_batch, const zl_watch_options *options) {
    *f = (fixture){0};
    add_ids(&f->ids, "i-", count);
    assert_int_equal(zl_watch_init(&f->watch, count, options), ZL_OK);
    for (size_t i = 0; i < count; i++) {
        zl_watch_add(&f->watch, i, i / per_batch);
    }
    zl_moment now = moment(0, 0);
    zl_watch_start(&f->watch, &now);
}

static void end(fixture *f) {
    zl_watch_free(&f->watch);
    zl_ids_free(&f->ids);
}

static size_t take(fixture *f) {
    return zl_watch_take(&f->watch, f->places, &f->batch);
}

/* An answer with one status for the ids of the last take. */
static void note(fixture *f, size_t count, const zl_status *rows, size_t row_count) {
    zl_answer a = answer_accepted("T-1");
    a.statuses = rows;
    a.item_count = row_count;
    zl_watch_note(&f->watch, &f->ids, f->places, count, &a);
}

static void proceed(fixture *f, int64_t ms, double random) {
    zl_moment now = moment(ms, random);
    assert_false(zl_watch_has_more(&f->watch));
    zl_watch_proceed(&f->watch, &now);
}

/* One round for one id, "i-0": it has this status (NULL: it is not there). */
static void round_of_one(fixture *f, int64_t ms, const char *status) {
    zl_status row = {ZL_LIT("i-0"), zl_view_of(status == NULL ? "" : status)};
    zl_watch_wake(&f->watch, ms);
    assert_int_equal(f->watch.phase, ZL_WATCH_ASK);
    assert_int_equal(take(f), 1);
    note(f, 1, &row, status != NULL);
    proceed(f, ms, 0);
}

/* --- when ------------------------------------------------------------------------------------- */

static void expect_delays(double random, const int64_t *delays, size_t count) {
    fixture f;
    int64_t ms = 0;
    begin(&f, 1, 1, &usual);
    for (size_t i = 0; i < count; i++) {
        zl_status row = {ZL_LIT("i-0"), ZL_LIT("STOPPING")};
        assert_int_equal(take(&f), 1);
        note(&f, 1, &row, 1);
        proceed(&f, ms, random);
        assert_int_equal(f.watch.phase, ZL_WATCH_REST);
        assert_int_equal(f.watch.due_ms - ms, delays[i]);
        assert_false(zl_watch_has_more(&f.watch));
        zl_watch_wake(&f.watch, f.watch.due_ms - 1);
        assert_int_equal(f.watch.phase, ZL_WATCH_REST);
        ms = f.watch.due_ms;
        zl_watch_wake(&f.watch, ms);
        assert_int_equal(f.watch.phase, ZL_WATCH_ASK);
    }
    assert_int_equal(f.watch.rounds, count);
    end(&f);
}

static void test_the_delays(void **state) {
    (void)state;
    static const int64_t least[] = {2000, 2000, 2000, 2000, 2000, 2000};
    static const int64_t most[] = {2000, 3999, 7999, 14999, 14999, 14999};
    expect_delays(0, least, COUNT(least));
    expect_delays(1 - 0x1p-53, most, COUNT(most));
}

static void test_the_last_look(void **state) {
    (void)state;
    zl_watch_options options = usual;
    options.timeout_ms = 5000;
    fixture f;
    begin(&f, 1, 1, &options);
    assert_int_equal(f.watch.until_ms, 5000);
    round_of_one(&f, 0, "STOPPING");
    assert_int_equal(f.watch.due_ms, 2000);
    round_of_one(&f, 2000, "STOPPING");
    assert_int_equal(f.watch.due_ms, 3000); /* and not 4000: its answer needs time */
    round_of_one(&f, 3000, "STOPPING");
    assert_int_equal(f.watch.due_ms, 5000); /* no further look is worth while */
    end(&f);

    options.timeout_ms = 2000; /* no more than the least delay */
    begin(&f, 1, 1, &options);
    round_of_one(&f, 0, "STOPPING");
    assert_int_equal(f.watch.due_ms, 2000);
    end(&f);
}

static void test_the_grace_ends_on_time(void **state) {
    (void)state;
    zl_watch_options options = usual;
    options.grace_ms = 3000;
    fixture f;
    begin(&f, 1, 1, &options);
    assert_int_equal(f.watch.grace_until_ms, 3000);
    assert_int_equal(f.watch.until_ms, 603000);
    round_of_one(&f, 0, "RUNNING");
    assert_int_equal(f.watch.phase, ZL_WATCH_REST);
    round_of_one(&f, 2000, "RUNNING");
    assert_int_equal(f.watch.phase, ZL_WATCH_REST);
    assert_int_equal(f.watch.due_ms, 3000); /* and not 4000 */
    round_of_one(&f, 3000, "RUNNING");      /* a last look before the force */
    assert_int_equal(f.watch.phase, ZL_WATCH_FORCE);
    assert_int_equal(take(&f), 1);
    zl_watch_note_force(&f.watch, 0, ZL_FORCE_ACCEPTED);
    proceed(&f, 3010, 1 - 0x1p-53);
    assert_int_equal(f.watch.phase, ZL_WATCH_REST);
    assert_int_equal(f.watch.due_ms, 3010 + 2000); /* it begins to grow anew */
    end(&f);
}

/* The end of the grace passes while a round is under way: it holds from the next round on, which
 * begins at once. */
static void test_the_grace_ends_within_a_round(void **state) {
    (void)state;
    zl_watch_options options = usual;
    options.grace_ms = 3000;
    fixture f;
    begin(&f, 1, 1, &options);
    zl_status row = {ZL_LIT("i-0"), ZL_LIT("RUNNING")};
    assert_int_equal(take(&f), 1);
    note(&f, 1, &row, 1);
    proceed(&f, 9000, 0.5);
    assert_int_equal(f.watch.phase, ZL_WATCH_REST);
    assert_in_range(f.watch.due_ms, 0, 9000);
    round_of_one(&f, 9000, "RUNNING");
    assert_int_equal(f.watch.phase, ZL_WATCH_FORCE);
    end(&f);
}

/* --- what was found --------------------------------------------------------------------------- */

static void test_missing_once_and_twice(void **state) {
    (void)state;
    fixture f;
    begin(&f, 1, 1, &usual);
    round_of_one(&f, 0, NULL);
    assert_int_equal(zl_watch_pending(&f.watch), 1);
    round_of_one(&f, 2000, "STOPPING"); /* it is back */
    round_of_one(&f, 4000, NULL);
    assert_int_equal(zl_watch_pending(&f.watch), 1);
    assert_view(zl_watch_status(&f.watch, 0), "STOPPING");
    round_of_one(&f, 6000, NULL); /* twice in a row */
    assert_int_equal(zl_watch_pending(&f.watch), 0);
    assert_int_equal(f.watch.failed, 1);
    assert_int_equal(f.watch.first_failed, 0);
    assert_int_equal(zl_watch_status(&f.watch, 0).len, 0);
    end(&f);
}

static void test_states(void **state) {
    (void)state;
    static const char *const pending[] = {"RUNNING",    "STOPPING", "PENDING",      "DEPLOYING",
                                          "REBUILDING", "REBOOT",   "BOOTING",      "IMAGING",
                                          "stopped",    "STOPPED ", "SOMETHING_NEW"};
    static const char *const bad[] = {"RELEASING", "RECYCLE", "RECYCLING", "CREATE_FAILED"};
    fixture f;
    begin(&f, 1, 1, &usual);
    for (size_t i = 0; i < COUNT(pending); i++) {
        round_of_one(&f, f.watch.due_ms, pending[i]);
        assert_int_equal(zl_watch_pending(&f.watch), 1);
        assert_view(zl_watch_status(&f.watch, 0), pending[i]);
    }
    round_of_one(&f, f.watch.due_ms, "STOPPED");
    assert_int_equal(zl_watch_pending(&f.watch), 0);
    assert_int_equal(f.watch.stopped, 1);
    assert_int_equal(f.watch.failed, 0);
    end(&f);
    for (size_t i = 0; i < COUNT(bad); i++) {
        begin(&f, 1, 1, &usual);
        round_of_one(&f, 0, bad[i]);
        assert_int_equal(f.watch.failed, 1);
        assert_int_equal(zl_watch_pending(&f.watch), 0);
        assert_view(zl_watch_status(&f.watch, 0), bad[i]);
        end(&f);
    }
}

static void test_duplicates_and_strangers(void **state) {
    (void)state;
    static const zl_status rows[] = {
        {{"i-1", 3}, {"STOPPED", 7}}, {{"i-1", 3}, {"STOPPED", 7}},  {{"i-1", 3}, {"RECYCLE", 7}},
        {{"x", 1}, {"STOPPED", 7}},   {{"i-0", 3}, {"STOPPING", 8}}, {{"i-2", 3}, {"RECYCLE", 7}},
        {{"i-2", 3}, {"STOPPED", 7}},
    };
    fixture f;
    begin(&f, 3, 3, &usual);
    assert_int_equal(take(&f), 3);
    note(&f, 3, rows, COUNT(rows));
    assert_int_equal(f.watch.stopped, 1); /* the first word holds */
    assert_int_equal(f.watch.failed, 1);
    assert_int_equal(f.watch.first_failed, 2);
    assert_int_equal(zl_watch_pending(&f.watch), 1);
    proceed(&f, 0, 0);
    zl_watch_wake(&f.watch, 2000);
    assert_int_equal(take(&f), 1);
    assert_int_equal(f.places[0], 0);
    end(&f);
}

/* --- whom ------------------------------------------------------------------------------------- */

static void test_only_pending_ids_are_asked_for(void **state) {
    (void)state;
    static zl_status rows[ZL_REQUEST_IDS_MAX];
    fixture f;
    begin(&f, 250, 100, &usual);
    for (size_t want = 100, first = 0; first < 250; first += 100) {
        want = first == 200 ? 50 : 100;
        assert_true(zl_watch_has_more(&f.watch));
        assert_int_equal(take(&f), want);
        for (size_t i = 0; i < want; i++) { /* every second one is STOPPED */
            assert_int_equal(f.places[i], first + i);
            rows[i].id = zl_ids_at(&f.ids, first + i);
            rows[i].status = i % 2 == 0 ? ZL_LIT("STOPPED") : ZL_LIT("STOPPING");
        }
        note(&f, want, rows, want);
    }
    assert_int_equal(zl_watch_pending(&f.watch), 125);
    proceed(&f, 0, 0);
    zl_watch_wake(&f.watch, 2000);
    assert_int_equal(take(&f), 100); /* of more than one batch */
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(f.places[i], 2 * i + 1);
    }
    assert_int_equal(take(&f), 25);
    assert_int_equal(f.places[24], 249);
    assert_int_equal(take(&f), 0);
    end(&f);
}

/* Take all there is to force, which must be so many calls of so many ids in all. */
static void expect_forced(fixture *f, const size_t *batches, const size_t *counts, size_t calls,
                          bool accepted) {
    assert_int_equal(f->watch.phase, ZL_WATCH_FORCE);
    for (size_t i = 0; i < calls; i++) {
        assert_int_equal(take(f), counts[i]);
        assert_int_equal(f->batch, batches[i]);
        for (size_t k = 0; k < counts[i]; k++) {
            zl_watch_note_force(&f->watch, f->places[k],
                                accepted ? ZL_FORCE_ACCEPTED : ZL_FORCE_REFUSED);
        }
    }
    assert_int_equal(take(f), 0);
}

/* One round in which each id below `running` is RUNNING, and the others are STOPPING. */
static void look(fixture *f, int64_t ms, size_t running) {
    static zl_status rows[ZL_REQUEST_IDS_MAX];
    zl_watch_wake(&f->watch, ms);
    for (size_t count; (count = take(f)) > 0;) {
        for (size_t i = 0; i < count; i++) {
            rows[i].id = zl_ids_at(&f->ids, f->places[i]);
            rows[i].status = f->places[i] < running ? ZL_LIT("RUNNING") : ZL_LIT("STOPPING");
        }
        note(f, count, rows, count);
    }
    proceed(f, ms, 0);
}

static void test_force(void **state) {
    (void)state;
    zl_watch_options options = usual;
    options.grace_ms = 1000;
    fixture f;
    begin(&f, 25, 10, &options);
    look(&f, 0, 25);
    assert_int_equal(f.watch.due_ms, 1000);
    look(&f, 1000, 25);
    expect_forced(&f, (const size_t[]){0, 1, 2}, (const size_t[]){10, 10, 5}, 3, false);
    proceed(&f, 1000, 0);
    look(&f, 3000, 12); /* tried again only on what runs */
    expect_forced(&f, (const size_t[]){0, 1}, (const size_t[]){10, 2}, 2, true);
    proceed(&f, 3000, 0);
    look(&f, 5000, 25); /* RUNNING after all: the others have their turn, the accepted have not */
    expect_forced(&f, (const size_t[]){1, 2}, (const size_t[]){8, 5}, 2, true);
    proceed(&f, 5000, 0);
    look(&f, f.watch.due_ms, 25);
    expect_forced(&f, NULL, NULL, 0, true);
    end(&f);
}

/* --- memory ----------------------------------------------------------------------------------- */

static void test_init_without_memory(void **state) {
    (void)state;
    size_t live = alloc_live();
    for (size_t k = 1; k <= 2; k++) {
        zl_watch w;
        memset(&w, 0xff, sizeof w);
        alloc_fail_at(k, false);
        assert_int_equal(zl_watch_init(&w, 10, &usual), ZL_ERR_NOMEM);
        assert_true(alloc_has_failed());
        alloc_fail_at(0, false);
        assert_int_equal(alloc_live(), live);
        zl_watch_free(&w); /* once more does no harm */
    }
}

static void test_a_status_without_memory(void **state) {
    (void)state;
    zl_status row = {ZL_LIT("i-0"), ZL_LIT("STOPPED")};
    fixture f;
    begin(&f, 1, 1, &usual);
    assert_int_equal(take(&f), 1);
    alloc_fail_at(1, true);
    note(&f, 1, &row, 1);
    alloc_fail_at(0, false);
    assert_true(f.watch.out_of_memory);
    assert_int_equal(f.watch.stopped, 1); /* known all the same */
    assert_int_equal(zl_watch_status(&f.watch, 0).len, 0);
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_delays),
        cmocka_unit_test(test_the_last_look),
        cmocka_unit_test(test_the_grace_ends_on_time),
        cmocka_unit_test(test_the_grace_ends_within_a_round),
        cmocka_unit_test(test_missing_once_and_twice),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_duplicates_and_strangers),
        cmocka_unit_test(test_only_pending_ids_are_asked_for),
        cmocka_unit_test(test_force),
        cmocka_unit_test(test_init_without_memory),
        cmocka_unit_test(test_a_status_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
