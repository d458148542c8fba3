/* What a transfer says that brought no answer: the code, and a message that names what was being
 * done and with whom. Private to the transport. */
#ifndef ZL_EXPLAIN_H
#define ZL_EXPLAIN_H

#include "transfer.h"

/* The exchange is over, and rc is not CURLE_OK: the code to report, with a message of one line
 * appended to *message. No secret is in it: of a proxy just the host and port. */
zl_code zl_explain(const zl_transfer *transfer, CURLcode rc, zl_buf *message);

#endif
