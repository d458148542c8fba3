/* Which name is meant by one that does not exist. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nearest.h"
#include "support.h"

static const char *const names[] = {
    "access_key_id",   "access_key_password",
    "ca_file",         "ca_path",
    "connect_timeout", "connect_to",
    "force_shutdown",  "max_attempts",
    "proxy",           "stop_instances",
    "timeout",         "wait",
    "wait_timeout",    NULL,
};

/* name: NULL for none. */
static void expect(zl_view given, const char *name) {
    const char *found = zl_nearest(given, names);
    if ((found == NULL) != (name == NULL) || (name != NULL && strcmp(found, name) != 0)) {
        fail_with("for '%.*s': %s, not %s", (int)given.len, given.data,
                  found == NULL ? "none" : found, name == NULL ? "none" : name);
    }
}

static void test_case_and_separators(void **state) {
    (void)state;
    expect(ZL_LIT("forceShutdown"), "force_shutdown");
    expect(ZL_LIT("force-shutdown"), "force_shutdown");
    expect(ZL_LIT("FORCE SHUTDOWN"), "force_shutdown");
    expect(ZL_LIT("accessKeyId"), "access_key_id");
    expect(ZL_LIT("AccessKeyPassword"), "access_key_password");
    expect(ZL_LIT("CAFile"), "ca_file");
    expect(ZL_LIT("StopInstances"), "stop_instances");
    expect(ZL_LIT("wait\0"), "wait");
}

static void test_slips(void **state) {
    (void)state;
    expect(ZL_LIT("tiemout"), "timeout"); /* two swapped */
    expect(ZL_LIT("wiat"), "wait");
    expect(ZL_LIT("timeot"), "timeout");
    expect(ZL_LIT("timeouts"), "timeout");
    expect(ZL_LIT("rimeout"), "timeout");
    expect(ZL_LIT("stop_instance"), "stop_instances");
    expect(ZL_LIT("acess_key_pasword"), "access_key_password");
    expect(ZL_LIT("conect_timout"), "connect_timeout");
}

/* A long name may have more of them than a short one. */
static void test_how_many(void **state) {
    (void)state;
    expect(ZL_LIT("waxx"), NULL);
    expect(ZL_LIT("proxx"), "proxy");
    expect(ZL_LIT("proxxx"), NULL);
    expect(ZL_LIT("force_shutdoxx"), "force_shutdown");
    expect(ZL_LIT("force_shutdxxx"), NULL);
    expect(ZL_LIT("access_key_passwxxx"), "access_key_password");
    expect(ZL_LIT("start_instances"), NULL); /* the contrary of what there is */
}

static void test_parts(void **state) {
    (void)state;
    expect(ZL_LIT("force"), "force_shutdown");
    expect(ZL_LIT("password"), "access_key_password");
    expect(ZL_LIT("accessKey"), "access_key_id"); /* the shorter of two */
    expect(ZL_LIT("key"), "access_key_id");
    expect(ZL_LIT("timeout_ms"), "timeout");
    expect(ZL_LIT("connect_timeout_in_seconds"), "connect_timeout"); /* the longer of two */
    expect(ZL_LIT("https_proxy"), "proxy");
    expect(ZL_LIT("id"), NULL);
    expect(ZL_LIT("ca"), NULL);
    /* A slip goes before a part. */
    expect(ZL_LIT("wait_timeou"), "wait_timeout");
    expect(ZL_LIT("connect_t"), "connect_to");
}

static void test_none(void **state) {
    (void)state;
    char longest[100000];
    const char *const nothing[] = {NULL};
    memset(longest, 'x', sizeof longest);
    expect(ZL_LIT(""), NULL);
    expect(ZL_LIT("_-\0 "), NULL);
    expect(ZL_LIT("region"), NULL);
    expect(ZL_LIT("verify"), NULL);
    expect(ZL_LIT("\xE9\xE9\xE9\xE9"), NULL);
    expect((zl_view){longest, sizeof longest}, NULL);
    memmove(longest, names[0], strlen(names[0])); /* of such a length it is no slip */
    expect((zl_view){longest, sizeof longest}, NULL);
    assert_null(zl_nearest((zl_view){NULL, 0}, names));
    assert_null(zl_nearest(ZL_LIT("timeout"), nothing));
}

static void test_agreement(void **state) {
    (void)state;
    assert_true(zl_names_agree(ZL_LIT("secretKey"), ZL_LIT("secret_key")));
    assert_true(zl_names_agree(ZL_LIT("a"), ZL_LIT("A")));
    assert_false(zl_names_agree(ZL_LIT("secret_keys"), ZL_LIT("secret_key")));
    assert_false(zl_names_agree(ZL_LIT("a"), ZL_LIT("")));
}

/* Every name is its own nearest, and stays it with any one letter less or more. */
static void test_one_change(void **state) {
    (void)state;
    for (size_t i = 0; names[i] != NULL; i++) {
        char changed[64];
        size_t len = strlen(names[i]);
        expect(zl_view_of(names[i]), names[i]);
        for (size_t at = 0; at < len; at++) {
            memcpy(changed, names[i], at);
            memcpy(changed + at, names[i] + at + 1, len - at - 1);
            expect((zl_view){changed, len - 1}, names[i]);
            changed[at] = '0';
            memcpy(changed + at + 1, names[i] + at, len - at);
            expect((zl_view){changed, len + 1}, names[i]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_case_and_separators),
        cmocka_unit_test(test_slips),
        cmocka_unit_test(test_how_many),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_agreement),
        cmocka_unit_test(test_one_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
