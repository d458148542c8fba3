/* The files in which the official command line keeps credentials: credentials.json and config.json
 * of ~/.zenlayer. This is the one part of the core that reads files of the user's. */
#ifndef ZL_CREDENTIALS_FILE_H
#define ZL_CREDENTIALS_FILE_H

#include "buf.h"

/* A file over this is none of theirs. */
enum { ZL_CREDENTIALS_FILE_MAX = 1 << 20 };

typedef enum zl_file_status {
    ZL_FILE_OK,          /* the profile is there; what it has is for the caller to judge */
    ZL_FILE_NO_HOME,     /* no folder was given */
    ZL_FILE_NO_FILE,     /* there is no credentials.json */
    ZL_FILE_NO_PROFILE,  /* it has no such profile */
    ZL_FILE_UNREADABLE,  /* error_number says why */
    ZL_FILE_NOT_REGULAR, /* a directory, a FIFO, a device */
    ZL_FILE_TOO_LARGE,
    ZL_FILE_TOO_OPEN,  /* group or others may read or write it: mode */
    ZL_FILE_MALFORMED, /* problem, at */
    ZL_FILE_NOMEM
} zl_file_status;

/* What was read, or why not. All zero before the first use. */
typedef struct zl_credentials_file {
    zl_file_status status;
    zl_buf path;                /* the file that the status is about */
    zl_buf profile;             /* the profile that was looked for */
    bool is_current;            /* the profile is config.json's current_profile */
    zl_buf id, password, token; /* empty: the profile has none, or the status is not OK */
    int error_number;
    unsigned mode;       /* the permission bits */
    const char *problem; /* static: what is wrong, or expected, at byte `at` (from 0) */
    size_t at;
} zl_credentials_file;

/* The user's folder of these files, ~/.zenlayer, into an empty buffer. The home is $HOME or, if
 * that is not set or empty, the user database's; where there is neither, *dir stays empty. False
 * when out of memory. */
bool zl_credentials_dir(zl_buf *dir);

/* Read one profile (empty: config.json's current_profile, or "default") of the files in a folder.
 * Blocks for as long as the file system does. The caller frees *file, whatever the status. */
zl_file_status zl_credentials_file_read(zl_credentials_file *file, zl_view dir, zl_view profile);

/* Wipes what it had. */
void zl_credentials_file_free(zl_credentials_file *file);

#endif
