/* The credential files of the official command line: what is found in them, and every way in which
 * they are not fit. All in a folder of the test's own. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "alloc.h"
#include "credentials_file.h"
#include "support.h"

static char dir[64];
static zl_credentials_file file;

/* --- the folder --------------------------------------------------------------------------------
 */

static const char *path_of(const char *name) {
    static char paths[2][128];
    static size_t turn;
    char *path = paths[turn++ % 2];
    (void)snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

static int make_dir(void **state) {
    (void)state;
    memcpy(dir, "/tmp/zenlayer-spec-XXXXXX", sizeof "/tmp/zenlayer-spec-XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int remove_dir(void **state) {
    (void)state;
    static const char *const names[] = {"credentials.json", "config.json", "other"};
    for (size_t i = 0; i < COUNT(names); i++) {
        (void)remove(path_of(names[i]));
    }
    zl_credentials_file_free(&file);
    return rmdir(dir);
}

static void put_bytes(const char *name, zl_view bytes, mode_t mode) {
    (void)remove(path_of(name));
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes.data, bytes.len), (ssize_t)bytes.len);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

static void put(const char *name, const char *text) {
    put_bytes(name, zl_view_of(text), 0600);
}

/* How many descriptors are open. */
static int descriptors(void) {
    int count = 0;
    for (int fd = 0; fd < 256; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

static void read_expecting(zl_file_status want, const char *name, const char *profile) {
    int before = descriptors();
    zl_file_status status = zl_credentials_file_read(&file, zl_view_of(dir), zl_view_of(profile));
    assert_int_equal(status, want);
    assert_int_equal(file.status, want);
    assert_view(zl_buf_view(&file.path), path_of(name));
    assert_int_equal(descriptors(), before);
    if (want != ZL_FILE_OK) {
        assert_null(file.id.data);
        assert_null(file.password.data);
        assert_null(file.token.data);
    }
}

static void refused(zl_file_status want, const char *profile) {
    read_expecting(want, "credentials.json", profile);
}

static void found(const char *profile, const char *id, const char *password, const char *token) {
    read_expecting(ZL_FILE_OK, "credentials.json", profile);
    assert_buf(file.id, id);
    assert_buf(file.password, password);
    assert_buf(file.token, token);
}

/* --- profiles ----------------------------------------------------------------------------------
 */

static const char both[] = "{\"default\": {\"access_key_id\": \"AKID\", \"access_key_secret\": "
                           "\"s3cr3t-va1ue\"},\n \"ci\": {\"token\": \"t0k3n-va1ue\"}}\n";

static void test_profiles(void **state) {
    (void)state;
    put("credentials.json", both);
    found("default", "AKID", "s3cr3t-va1ue", "");
    found("ci", "", "", "t0k3n-va1ue");
    assert_buf(file.profile, "ci");
    assert_false(file.is_current);
    refused(ZL_FILE_NO_PROFILE, "CI");
    assert_buf(file.profile, "CI");
    refused(ZL_FILE_NO_PROFILE, "access_key_id");
    refused(ZL_FILE_NO_PROFILE, "c");
}

static void test_which_profile(void **state) {
    (void)state;
    put("credentials.json", both);
    found("", "AKID", "s3cr3t-va1ue", ""); /* there is no config.json */
    assert_buf(file.profile, "default");
    assert_false(file.is_current);
    static const char *const no_choice[] = {"{}", "{\"current_profile\":null,\"profiles\":{}}",
                                            "{\"current_profile\":\"\"}"};
    for (size_t i = 0; i < COUNT(no_choice); i++) {
        put("config.json", no_choice[i]);
        found("", "AKID", "s3cr3t-va1ue", "");
        assert_false(file.is_current);
    }
    put("config.json", "{\"profiles\": {\"ci\": {\"current_profile\": \"x\"}},"
                       " \"current_profile\": \"\\u0063i\"}");
    found("", "", "", "t0k3n-va1ue");
    assert_buf(file.profile, "ci");
    assert_true(file.is_current);
    found("default", "AKID", "s3cr3t-va1ue", "");
    assert_false(file.is_current);
    put("config.json", "{\"current_profile\": \"gone\"}");
    refused(ZL_FILE_NO_PROFILE, "");
    assert_buf(file.profile, "gone");
    assert_true(file.is_current);
    /* Who names a profile does not need config.json. */
    put("config.json", "what is this");
    found("ci", "", "", "t0k3n-va1ue");
}

static void test_parts_of_a_profile(void **state) {
    (void)state;
    put("credentials.json",
        "{\"empty\": {}, \"null\": null, \"nulls\": {\"token\": null, \"access_key_id\": null},"
        " \"half\": {\"access_key_id\": \"AKID\", \"region\": [1, {}]},"
        " \"all\": {\"token\": \"t\", \"access_key_secret\": \"s\", \"access_key_id\": \"i\"},"
        " \"blank\": {\"access_key_id\": \"\", \"token\": \"t\"},"
        " \"escaped\": {\"access_key_\\u0069d\": \"\\u00e9\", \"token\": \"a\\u0000b\"},"
        " \"\\u00e9\": {\"token\": \"of a name beyond ASCII\"}}");
    found("empty", "", "", "");
    found("nulls", "", "", "");
    found("half", "AKID", "", "");
    found("all", "i", "s", "t");
    found("blank", "", "", "t");
    refused(ZL_FILE_NO_PROFILE, "null");
    found("\xC3\xA9", "", "", "of a name beyond ASCII");
    read_expecting(ZL_FILE_OK, "credentials.json", "escaped");
    assert_buf(file.id, "\xC3\xA9");
    assert_true(zl_view_equal(zl_buf_view(&file.token), ZL_LIT("a\0b")));
}

/* --- files that are not fit ---------------------------------------------------------------------
 */

static void test_no_file(void **state) {
    (void)state;
    refused(ZL_FILE_NO_FILE, "");
    refused(ZL_FILE_NO_FILE, "ci");
    /* A folder that is none, and one that does not exist. */
    put("other", "");
    zl_view none = zl_view_of(path_of("other"));
    assert_int_equal(zl_credentials_file_read(&file, none, ZL_LIT("")), ZL_FILE_NO_FILE);
    none = zl_view_of(path_of("nowhere"));
    assert_int_equal(zl_credentials_file_read(&file, none, ZL_LIT("")), ZL_FILE_NO_FILE);
    /* A link to nothing. */
    assert_int_equal(symlink("nowhere", path_of("credentials.json")), 0);
    refused(ZL_FILE_NO_FILE, "");
    /* No folder at all. */
    assert_int_equal(zl_credentials_file_read(&file, (zl_view){NULL, 0}, ZL_LIT("")),
                     ZL_FILE_NO_HOME);
    assert_buf(file.path, "~/.zenlayer/credentials.json");
    assert_buf(file.profile, "default");
}

static void test_modes(void **state) {
    (void)state;
    for (mode_t mode = 0; mode <= 0777; mode++) {
        if ((mode & 0400) != 0) { /* others cannot be opened, unless by root */
            put_bytes("credentials.json", ZL_LIT(both), mode);
            refused((mode & 077) != 0 ? ZL_FILE_TOO_OPEN : ZL_FILE_OK, "ci");
            assert_int_equal(file.mode, mode);
        }
    }
    /* config.json may be as it likes. */
    put("credentials.json", both);
    put_bytes("config.json", ZL_LIT("{\"current_profile\":\"ci\"}"), 0666);
    found("", "", "", "t0k3n-va1ue");
}

static void test_links(void **state) {
    (void)state;
    put("other", both);
    assert_int_equal(symlink("other", path_of("credentials.json")), 0);
    found("ci", "", "", "t0k3n-va1ue");
    put_bytes("other", ZL_LIT(both), 0640);
    refused(ZL_FILE_TOO_OPEN, "ci"); /* the mode is that of the file, not of the link */
    (void)remove(path_of("credentials.json"));
    assert_int_equal(symlink("credentials.json", path_of("credentials.json")), 0);
    refused(ZL_FILE_UNREADABLE, "ci");
    assert_int_equal(file.error_number, ELOOP);
    assert_int_equal(symlink("config.json", path_of("config.json")), 0);
    read_expecting(ZL_FILE_UNREADABLE, "config.json", "");
}

static void make_socket(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(close(fd), 0);
}

/* Where reading fails: nothing is mapped at the beginning of a process's memory. */
static void test_reading_fails(void **state) {
    (void)state;
    assert_int_equal(symlink("/proc/self/mem", path_of("credentials.json")), 0);
    refused(ZL_FILE_UNREADABLE, "ci");
    assert_int_equal(file.error_number, EIO);
}

/* In place of either file. None of them is waited for. */
static void test_no_regular_file(void **state) {
    (void)state;
    put("credentials.json", both);
    for (int i = 0; i < 2; i++) {
        const char *name = i == 0 ? "config.json" : "credentials.json";
        (void)remove(path_of(name));
        assert_int_equal(mkfifo(path_of(name), 0600), 0);
        read_expecting(ZL_FILE_NOT_REGULAR, name, "");
        assert_int_equal(remove(path_of(name)), 0);
        assert_int_equal(mkdir(path_of(name), 0700), 0);
        read_expecting(ZL_FILE_NOT_REGULAR, name, "");
        assert_int_equal(remove(path_of(name)), 0);
        assert_int_equal(symlink("/dev/zero", path_of(name)), 0);
        read_expecting(ZL_FILE_NOT_REGULAR, name, "");
        assert_int_equal(remove(path_of(name)), 0);
        make_socket(path_of(name));
        read_expecting(ZL_FILE_UNREADABLE, name, "");
        assert_true(file.error_number != 0);
        assert_int_equal(remove(path_of(name)), 0);
    }
}

static void test_sizes(void **state) {
    (void)state;
    for (size_t more = 0; more <= 1; more++) {
        zl_buf text = {0};
        zl_buf_add_text(&text, both);
        while (text.len < ZL_CREDENTIALS_FILE_MAX + more) {
            zl_buf_add_char(&text, ' ');
        }
        put_bytes("credentials.json", zl_buf_view(&text), 0600);
        refused(more == 0 ? ZL_FILE_OK : ZL_FILE_TOO_LARGE, "ci");
        zl_buf_free(&text);
    }
    /* A large one is not read to its end, nor is there room made for it. */
    assert_int_equal(truncate(path_of("credentials.json"), (off_t)1 << 40), 0);
    refused(ZL_FILE_TOO_LARGE, "ci");
    /* One that claims to be empty (as all in /proc) is read all the same. */
    (void)remove(path_of("credentials.json"));
    assert_int_equal(symlink("/proc/self/cmdline", path_of("config.json")), 0);
    read_expecting(ZL_FILE_MALFORMED, "config.json", "");
    assert_int_equal(file.at, 0);
}

/* --- malformed ----------------------------------------------------------------------------------
 */

static void malformed(const char *name, zl_view text, const char *problem, const char *before) {
    put_bytes(name, text, 0600);
    read_expecting(ZL_FILE_MALFORMED, name, "");
    if (strcmp(file.problem, problem) != 0 || file.at != strlen(before)) {
        fail_with("%.*s: %s at %zu", (int)text.len, text.data, file.problem, file.at);
    }
}

#define NO_JSON "no JSON"
#define NO_OBJECT "an object is expected"
#define NO_STRING "a string is expected"
#define SECOND "a second value for the same name"

static void test_malformed(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        const char *name = i == 0 ? "credentials.json" : "config.json";
        malformed(name, ZL_LIT(""), NO_JSON, "");
        malformed(name, ZL_LIT(" \n"), NO_JSON, " \n");
        malformed(name, ZL_LIT("{\"default\":{}"), NO_JSON, "{\"default\":{}");
        malformed(name, ZL_LIT("{} x"), NO_JSON, "{} ");
        malformed(name, ZL_LIT("{}\0"), NO_JSON, "{}");
        malformed(name, ZL_LIT("\xEF\xBB\xBF{}"), NO_JSON, "");
        malformed(name, ZL_LIT("{\"default\":{\"token\":\"\xFF\"}}"), NO_JSON,
                  "{\"default\":{\"token\":\"");
        malformed(name, ZL_LIT("[default]"), NO_JSON, "[");
        malformed(name, ZL_LIT(" []"), NO_OBJECT, " ");
        malformed(name, ZL_LIT("null"), NO_OBJECT, "");
        (void)remove(path_of(name));
    }
    zl_buf deep = {0};
    for (size_t i = 0; i < 1000000; i++) {
        zl_buf_add_char(&deep, '[');
    }
    put_bytes("credentials.json", zl_buf_view(&deep), 0600);
    zl_buf_free(&deep);
    refused(ZL_FILE_MALFORMED, "");
}

static void test_of_other_kinds(void **state) {
    (void)state;
    static const char name[] = "credentials.json";
    malformed(name, ZL_LIT("{\"default\": \"token\"}"), NO_OBJECT, "{\"default\": ");
    malformed(name, ZL_LIT("{\"default\": [{}]}"), NO_OBJECT, "{\"default\": ");
    malformed(name, ZL_LIT("{\"default\":{\"token\": 5}}"), NO_STRING, "{\"default\":{\"token\": ");
    malformed(name, ZL_LIT("{\"default\":{\"access_key_id\":\"a\",\"access_key_secret\":false}}"),
              NO_STRING, "{\"default\":{\"access_key_id\":\"a\",\"access_key_secret\":");
    /* Of another profile that is nobody's business now. */
    put(name, "{\"other\":[],\"default\":{\"token\":\"t\"},\"other\":{\"token\":1}}");
    found("", "", "", "t");
    malformed("config.json", ZL_LIT("{\"current_profile\":{}}"), NO_STRING,
              "{\"current_profile\":");
}

static void test_names_that_stand_there_twice(void **state) {
    (void)state;
    static const char name[] = "credentials.json";
    malformed(name, ZL_LIT("{\"default\":{},\"default\":{\"token\":\"t\"}}"), SECOND,
              "{\"default\":{},\"default\":");
    malformed(name, ZL_LIT("{\"default\":{\"token\":\"t\",\"\\u0074oken\":\"t\"}}"), SECOND,
              "{\"default\":{\"token\":\"t\",\"\\u0074oken\":");
    malformed(name, ZL_LIT("{\"default\":{\"token\":\"t\",\"token\":null}}"), SECOND,
              "{\"default\":{\"token\":\"t\",\"token\":");
    malformed("config.json", ZL_LIT("{\"current_profile\":\"a\",\"current_profile\":\"b\"}"),
              SECOND, "{\"current_profile\":\"a\",\"current_profile\":");
}

/* --- the folder of a user -----------------------------------------------------------------------
 */

static void expect_dir(const char *home) {
    zl_buf got = {0}, want = {0};
    zl_buf_addf(&want, "%s/.zenlayer", home);
    assert_true(zl_credentials_dir(&got));
    assert_buf(got, want.data);
    zl_buf_free(&got);
    zl_buf_free(&want);
}

static void test_home(void **state) {
    (void)state;
    assert_int_equal(setenv("HOME", "/somebody's home", 1), 0);
    expect_dir("/somebody's home");
    const struct passwd *user = getpwuid(getuid());
    const char *home = user == NULL ? NULL : user->pw_dir;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(i == 0 ? setenv("HOME", "", 1) : unsetenv("HOME"), 0);
        if (home != NULL) {
            expect_dir(home);
        } else {
            zl_buf none = {0};
            assert_true(zl_credentials_dir(&none));
            assert_int_equal(none.len, 0);
        }
    }
}

/* --- memory --------------------------------------------------------------------------------------
 */

/* Whatever becomes of it, what was read is wiped before its memory goes back. */
static void test_secrets_are_wiped(void **state) {
    (void)state;
    static const char *const texts[] = {
        "{\"default\":{\"access_key_id\":\"s3cr3t-va1ue\",\"access_key_secret\":\"s3cr3t-va1ue\"}}",
        "{\"default\":{\"access_key_id\":\"s3cr3t-va1ue\",\"access_key_secret\":5}}",
        "{\"default\":{\"token\":\"s3cr3t-va1ue\",\"token\":5}}",
        "{\"default\":{\"token\":\"s3cr3t-va1ue\"}",
        "{\"other\":{\"token\":\"s3cr3t-va1ue\"}}",
    };
    (void)alloc_watch("s3cr3t-va1ue");
    for (size_t i = 0; i < COUNT(texts); i++) {
        put("credentials.json", texts[i]);
        (void)zl_credentials_file_read(&file, zl_view_of(dir), ZL_LIT(""));
        assert_int_equal(file.status == ZL_FILE_OK, i == 0);
        (void)zl_credentials_file_read(&file, zl_view_of(dir), ZL_LIT("default"));
        zl_credentials_file_free(&file);
    }
    assert_int_equal(alloc_watch(NULL), 0);
}

static void test_out_of_memory(void **state) {
    (void)state;
    put("credentials.json", both);
    put("config.json", "{\"current_profile\":\"default\"}");
    assert_int_equal(unsetenv("HOME"), 0); /* the user database needs room, too */
    size_t live = alloc_live(), k = 1;
    for (bool failed = true; failed; k++) {
        zl_buf home = {0};
        alloc_fail_at(k, true);
        bool has_dir = zl_credentials_dir(&home);
        zl_file_status status = zl_credentials_file_read(&file, zl_view_of(dir), ZL_LIT(""));
        failed = alloc_has_failed();
        alloc_fail_at(0, false);
        assert_int_equal(has_dir && status == ZL_FILE_OK, !failed);
        assert_true(status == ZL_FILE_OK || status == ZL_FILE_NOMEM);
        zl_buf_free(&home);
        zl_credentials_file_free(&file);
        assert_int_equal(alloc_live(), live);
    }
    assert_true(k > 5);
}

#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_DIR(test_profiles),
        IN_DIR(test_which_profile),
        IN_DIR(test_parts_of_a_profile),
        IN_DIR(test_no_file),
        IN_DIR(test_modes),
        IN_DIR(test_links),
        IN_DIR(test_reading_fails),
        IN_DIR(test_no_regular_file),
        IN_DIR(test_sizes),
        IN_DIR(test_malformed),
        IN_DIR(test_of_other_kinds),
        IN_DIR(test_names_that_stand_there_twice),
        cmocka_unit_test(test_home),
        IN_DIR(test_secrets_are_wiped),
        IN_DIR(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
