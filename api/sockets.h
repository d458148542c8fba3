/* The sockets of one transport: which of them libcurl waits for, and which hold an idle HTTP/1.1
 * connection. Watching is poll(2), so any number of descriptors will do. */
#ifndef ZL_SOCKETS_H
#define ZL_SOCKETS_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

/* Owns its arrays; all zero is empty. polls[i] and infos[i] are of the same socket. */
typedef struct zl_sockets {
    struct pollfd *polls; /* fd -1 (which poll ignores) while nothing is waited for */
    struct zl_socket_info {
        int fd;
        const void *opener; /* who wanted it; to be compared, not looked at */
        bool is_connection; /* opened to a server; else one of libcurl's own */
        bool was_used;      /* a request went out on it */
        bool is_http1;      /* an answer came on it over HTTP/1: one exchange after another */
        bool is_doubted;    /* a request was lost on it, and no answer has begun there since */
        size_t answers;     /* so many have begun */
        int local_port;     /* 0: not known yet */
    } * infos;
    size_t count;
    size_t room;
    size_t connections; /* how many are connections */
    bool was_used;      /* a request went out on one of them */
} zl_sockets;

/* A connection's socket was made for `opener`. False when out of memory. */
bool zl_sockets_open(zl_sockets *sockets, int fd, const void *opener);

/* Whether the other end has taken a connection that was opened for `opener` and is not used yet. */
bool zl_sockets_is_connected(const zl_sockets *sockets, const void *opener);

/* Wait for these poll(2) events on fd; 0: for none. False when out of memory. */
bool zl_sockets_watch(zl_sockets *sockets, int fd, short events);

/* fd is about to be closed. */
void zl_sockets_forget(zl_sockets *sockets, int fd);

/* An answer begins on the connection with this local port; over HTTP/1, or not. */
void zl_sockets_answered(zl_sockets *sockets, int local_port, bool is_http1);

/* How many answers have begun on the connection with this local port. */
size_t zl_sockets_answers(zl_sockets *sockets, int local_port);

/* A request was lost on the connection with this local port, or time ran out for its answer: it may
 * be dead, and new requests are kept away from it. */
void zl_sockets_doubt(zl_sockets *sockets, int local_port);

/* Whether that was done, and no answer has begun since. */
bool zl_sockets_is_doubted(zl_sockets *sockets, int local_port);

/* Shut the connection with this local port down: libcurl will find it closed. */
void zl_sockets_shut_down(zl_sockets *sockets, int local_port);

/* A request is about to go out on the connection with this local port. False if that must not be:
 * it is doubted, or it is a kept HTTP/1.1 connection on which something has come in already, bytes
 * that are no answer to anything, or its end; then it has been shut down. *is_first: no request
 * went out on it before. */
bool zl_sockets_use(zl_sockets *sockets, int local_port, bool *is_first);

/* Whether there are connections, and one of them at least was made to the end. */
bool zl_sockets_has_ready(const zl_sockets *sockets);

void zl_sockets_free(zl_sockets *sockets);

#endif
