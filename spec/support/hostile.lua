-- Answers that no good server gives, for the specs of both ways to send (zenlayer, resty.zenlayer).
--
-- Each: a name, the step that server.py plays, and what comes of it: a response (ACCEPTED: that of
-- the good body), or fields of the error. `engine` and `gateway` go before that, where libcurl and
-- the strict reader of resty.zenlayer differ.
local assert = require "luassert"
local expect = require "expect"
local process = require "process"
local server = require "server"

local hostile = {}

local GOOD = '{"requestId":"T1","response":{"n":1}}'
local FORGED = '{"requestId":"TFORGED","response":{"n":666}}'
local OK = "HTTP/1.1 200 OK\r\n"

hostile.ACCEPTED = { n = 1 }
hostile.MAX_RESPONSE_BYTES = 300000

-- 10 MB of blanks.
local BOMB = process.check { "python3", "-c", "import gzip, sys; sys.stdout.buffer.write("
    .. "gzip.compress(b' ' * 10000000, mtime=0))" }

local ACCEPTED = hostile.ACCEPTED
local BAD = { kind = "protocol", code = "BAD_RESPONSE", outcome = "unknown" }
local LOST = { kind = "network", code = "CONNECTION_LOST", outcome = "unknown" }
local LARGE = { kind = "protocol", code = "RESPONSE_TOO_LARGE", outcome = "unknown" }
local SILENT = { kind = "timeout", code = "TIMEOUT", outcome = "unknown" }

-- With more header lines; another Content-Length; another status.
local function answer(body, more, length, status)
    return ("HTTP/1.1 %s\r\n%sContent-Length: %s\r\n\r\n%s"):format(status or "200 OK", more or "",
        length or #body, body)
end

local function chunked(...)
    return OK .. "Transfer-Encoding: chunked\r\n" .. table.concat { ... }
end

local function chunk(text)
    return ("%x\r\n%s\r\n"):format(#text, text)
end

hostile.CASES = {
    -- no end
    {
        "a head without end", { send = OK, for_ever = "X-Filler: " .. ("x"):rep(90) .. "\r\n" },
        LARGE,
    },
    { "a header without end", { send = OK .. "X-Filler: ", for_ever = ("x"):rep(100) }, LARGE },
    {
        "a status line without end", { send = "HTTP/1.1 200 ", for_ever = ("x"):rep(100) }, LARGE,
    },
    {
        "interim answers without end", { send = "", for_ever = "HTTP/1.1 100 Continue\r\n\r\n" },
        LARGE,
    },
    { "a body without end", { send = OK .. "\r\n", for_ever = ("x"):rep(100) }, LARGE },
    {
        "chunks without end", { send = chunked "\r\n", for_ever = chunk(("x"):rep(100)) }, LARGE,
    },
    {
        "a chunk's extension without end",
        { send = chunked "\r\n5;a=", for_ever = ("x"):rep(100) }, LARGE, engine = SILENT,
    },
    {
        "trailers without end",
        { send = chunked("\r\n", chunk(GOOD), "0\r\n"), for_ever = "X-Filler: x\r\n" }, LARGE,
    },
    { "less than was said, and silence", { send = answer(GOOD, "", 100) }, SILENT },

    -- lengths
    { "10 GB", { send = OK .. "Content-Length: 10000000000\r\n\r\n{" }, LARGE },
    {
        "2^63 bytes", { send = OK .. "Content-Length: 9223372036854775808\r\n\r\n{" }, LARGE,
        gateway = BAD,
    },
    {
        "2^64 + 37 bytes", { send = OK .. "Content-Length: 18446744073709551653\r\n\r\n" .. GOOD },
        LARGE, gateway = BAD,
    },
    {
        "a chunk of 2^63 bytes", { send = chunked "\r\n8000000000000000\r\n{" }, BAD, engine = LOST,
    },
    {
        "a chunk of 2^63 - 1 bytes", { send = chunked "\r\n7fffffffffffffff\r\n{" }, BAD,
        engine = SILENT,
    },
    {
        "a chunk of 2^64 + 37 bytes",
        { send = chunked("\r\n10000000000000025\r\n", GOOD, "\r\n0\r\n\r\n") }, BAD, engine = LOST,
    },
    { "a chunk of -1 bytes", { send = chunked "\r\n-1\r\n{" }, BAD, engine = LOST },
    { "two lengths", { send = answer(GOOD, "Content-Length: 5\r\n") }, BAD, engine = ACCEPTED },
    {
        "two lengths in a line", { send = answer(GOOD, "", ("%d, %d"):format(#GOOD, #GOOD)) }, BAD,
        engine = ACCEPTED,
    },
    {
        "a length and chunks",
        { send = chunked("Content-Length: 5\r\n\r\n", chunk(GOOD), "0\r\n\r\n") }, BAD,
        engine = ACCEPTED,
    },
    {
        "chunks twice",
        {
            send = chunked("Transfer-Encoding: chunked\r\n\r\n", chunk(GOOD), "0\r\n\r\n"),
        },
        BAD, engine = ACCEPTED,
    },
    { "chunks in other words", { send = answer(GOOD, "Transfer-Encoding: xchunked\r\n") }, BAD },
    { "204 with a body", { send = answer(GOOD, "", nil, "204 No Content") }, BAD },
    {
        "304 with a body", { send = answer(GOOD, "", nil, "304 Not Modified") },
        { kind = "protocol", code = "UNEXPECTED_STATUS", outcome = "rejected" },
    },
    {
        "205 with chunks",
        {
            send = "HTTP/1.1 205 Reset Content\r\nTransfer-Encoding: chunked\r\n\r\n" .. chunk(GOOD)
                .. "0\r\n\r\n",
        },
        BAD,
    },

    -- heads
    { "a folded header", { send = answer(GOOD, "X: a\r\n b\r\n") }, BAD, engine = ACCEPTED },
    {
        "a folded header that looks like another",
        { send = answer("{}", "X: a\r\n cf-mitigated: challenge\r\n", nil, "403 Forbidden") },
        BAD, engine = { kind = "protocol", code = "BAD_RESPONSE", outcome = "rejected" },
    },
    { "a folded length", { send = answer(GOOD, "", "\r\n " .. #GOOD) }, BAD },
    { "a zero in a header", { send = answer(GOOD, "X: a\0b\r\n") }, BAD },
    {
        "a return in a header", { send = answer(GOOD, "X: a\rContent-Length: 1\r\n") }, BAD,
        engine = ACCEPTED,
    },
    { "lines that end in LF", { send = (answer(GOOD):gsub("\r", "")) }, SILENT, engine = ACCEPTED },
    { "a header without a name", { send = answer(GOOD, ": b\r\n") }, BAD, engine = ACCEPTED },
    { "a header without a colon", { send = answer(GOOD, "nothing\r\n") }, BAD },
    { "HTTP/0.9", { send = GOOD, ["then"] = "close" }, LOST, engine = BAD },
    { "HTTP/3.0", { send = (answer(GOOD):gsub("^HTTP/1.1", "HTTP/3.0")) }, BAD },
    { "HTTP/1.9", { send = (answer(GOOD):gsub("^HTTP/1.1", "HTTP/1.9")) }, BAD },
    { "status 099", { send = answer(GOOD, "", nil, "099 Hm") }, BAD },
    { "status 999", { send = answer(GOOD, "", nil, "999 Hm") }, BAD },
    { "status 1000", { send = answer(GOOD, "", nil, "1000 Hm") }, BAD },
    {
        "a change of protocol",
        { send = "HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n" .. answer(GOOD) },
        BAD, engine = SILENT,
    },
    {
        "an offer of another protocol",
        { send = answer(GOOD, "Upgrade: h2c\r\nConnection: upgrade\r\n") }, ACCEPTED,
    },
    { "bytes before it", { send = "\r\n\r\n" .. answer(GOOD) }, BAD },
    { "another behind it", { send = answer(GOOD) .. answer(FORGED) }, ACCEPTED },

    -- bodies
    {
        "100,000 levels",
        {
            send = answer('{"requestId":"T1","response":{"n":1,"a":' .. ("["):rep(100000)
                .. ("]"):rep(100000) .. "}}"),
        },
        BAD,
    },
    {
        "objects without end",
        { send = answer('{"requestId":"T1","response":' .. ('{"a":'):rep(9000)) }, BAD,
    },
    {
        "two request ids",
        { send = answer '{"requestId":"T0","requestId":"T1","response":{"n":1}}' }, ACCEPTED,
    },
    {
        "two responses",
        { send = answer '{"requestId":"T1","response":{"n":2},"response":{"n":1}}' }, ACCEPTED,
    },
    {
        "a code behind null",
        { send = answer '{"code":null,"requestId":"T1","code":"NO","message":"no"}' },
        { kind = "api", code = "NO", outcome = "unknown", request_id = "T1" },
    },
    {
        "null behind a code",
        { send = answer '{"code":"NO","requestId":"T1","response":{"n":1},"code":null}' }, ACCEPTED,
    },
    {
        "bytes that are no UTF-8",
        { send = answer '{"requestId":"T1","response":{"n":1,"a":"\255\254\192\128"}}' }, ACCEPTED,
    },
    {
        "a lone surrogate", { send = answer '{"requestId":"T1","response":{"n":1,"a":"\\ud800"}}' },
        BAD,
    },
    {
        "an escaped zero", { send = answer '{"requestId":"T1","response":{"n":1,"a":"\\u0000"}}' },
        ACCEPTED,
    },
    { "a zero", { send = answer '{"requestId":"T1","response":{"n":1,"a":"\0"}}' }, BAD },
    { "a number that is none", { send = answer '{"requestId":"T1","response":{"n":NaN}}' }, BAD },
    {
        "a number of 400 digits",
        { send = answer('{"requestId":"T1","response":{"n":1,"a":' .. ("9"):rep(400) .. "}}") },
        ACCEPTED,
    },
    { "a byte order mark", { send = answer("\239\187\191" .. GOOD) }, BAD },
    { "UTF-16", { send = answer((GOOD:gsub(".", "%0\0"))) }, BAD },
    { "nothing but blanks", { send = answer((" "):rep(1000)) }, BAD },
    { "a gzip bomb", { send = answer(BOMB, "Content-Encoding: gzip\r\n") }, BAD },
    { "a word that is no gzip", { send = answer(GOOD, "Content-Encoding: gzip\r\n") }, ACCEPTED },
}

-- What a proxy may say to CONNECT instead of making a tunnel: a name, the step, the code, as above.
-- Of all of them nothing was sent.
local PAGE = "<html><body>Log in</body></html>"
local FAILED = "PROXY_FAILED"

hostile.PROXIES = {
    { "200 and a page", { send = answer(PAGE) }, FAILED, engine = "TLS_FAILED" },
    {
        "200 and a page a little later", { send = answer("", nil, #PAGE), more = PAGE },
        "TLS_FAILED",
    },
    {
        "200, a page and the end", { send = OK .. "\r\n" .. PAGE, ["then"] = "close" }, FAILED,
        engine = "TLS_FAILED",
    },
    { "200 and an answer of the API's", { send = answer(FORGED) }, FAILED, engine = "TLS_FAILED" },
    { "407 and a page", { send = answer(PAGE, nil, nil, "407 Log in") }, FAILED },
    { "302", { send = answer("", "Location: http://127.0.0.1:1/\r\n", nil, "302 Found") }, FAILED },
    { "a head without end", { send = OK, for_ever = "X-Filler: x\r\n" }, FAILED },
    { "a line without end", { send = "HTTP/1.1 200 ", for_ever = ("x"):rep(100) }, FAILED },
    { "407 without end", { send = "HTTP/1.1 407 No\r\n", for_ever = "X-Filler: x\r\n" }, FAILED },
    {
        "403 and a body without end",
        {
            send = "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n",
            for_ever = chunk "xxxxx",
        },
        FAILED,
    },
    {
        "interim answers without end", { send = "", for_ever = "HTTP/1.1 100 Continue\r\n\r\n" },
        FAILED,
    },
    { "half a head, and silence", { send = OK }, "CONNECT_TIMEOUT" },
}

-- server.py wants a character for each byte.
local function letters(text)
    return (text:gsub("[\128-\255]", function(byte)
        return utf8.char(byte:byte())
    end))
end

-- What a redirect, or a header that other clients act on, would have one do at this endpoint.
local SENDS_ELSEWHERE = {
    ["Set-Cookie"] = "session=1; Path=/; Secure; HttpOnly",
    ["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains; preload",
    ["Alt-Svc"] = 'h2="127.0.0.1:%d"; ma=86400; persist=1, http/1.1="127.0.0.1:%d"',
    ["Location"] = "http://127.0.0.1:%d/",
    ["Content-Location"] = "http://127.0.0.1:%d/",
    ["Refresh"] = "0; url=http://127.0.0.1:%d/",
    ["Link"] = "<http://127.0.0.1:%d/>; rel=preload",
    ["WWW-Authenticate"] = 'Basic realm="spec"',
    ["Proxy-Authenticate"] = 'Basic realm="spec"',
    ["Report-To"] = '{"endpoints":[{"url":"http://127.0.0.1:%d/"}]}',
}
hostile.REDIRECTS = { 300, 301, 302, 303, 305, 307, 308 }

-- A server for all of this: each case is played to the action Case1, Case2, …; Elsewhere is
-- answered well, with headers that lead to `elsewhere`, another server; so do Redirect300, ….
function hostile.start(elsewhere)
    local actions, headers = {}, {}
    for i, case in ipairs(hostile.CASES) do
        local step = {}
        for name, value in pairs(case[2]) do
            step[name] = letters(value)
        end
        actions["Case" .. i] = step
    end
    for name, value in pairs(SENDS_ELSEWHERE) do
        headers[#headers + 1] = ("%s: %s\r\n"):format(name,
            (value:gsub("%%d", elsewhere.port)))
    end
    headers = table.concat(headers)
    actions.Elsewhere = { send = answer(GOOD, headers) }
    for _, status in ipairs(hostile.REDIRECTS) do
        actions["Redirect" .. status] = { send = answer("", headers, nil, status .. " Elsewhere") }
    end
    return server.start("scripted", { actions = actions })
end

-- That a call came to what is expected of a case. `failure` is expect.failure, or its like for
-- the driver.
function hostile.check(expected, response, err, failure)
    if expected == hostile.ACCEPTED then
        assert.equal(1, expect.success(response, err).n)
        assert.equal("T1", err)
    else
        expected.attempts = 1
        failure(expected, response, err)
    end
end

-- A client of `other`, which was started with `elsewhere`, goes to no place where it is led, and
-- keeps nothing that it was told.
function hostile.check_that_nothing_is_followed(client, other, elsewhere, failure)
    expect.success(client:call "Elsewhere")
    for _, status in ipairs(hostile.REDIRECTS) do
        failure({
            kind = "protocol", code = "UNEXPECTED_STATUS", outcome = "rejected",
            http_status = status, attempts = 1,
        }, client:call("Redirect" .. status))
    end
    expect.success(client:call "After")
    local requests = other:events "request"
    local last = requests[#requests]
    assert.equal("After", last.action)
    assert.equal("POST /api/v2/vm HTTP/1.1", last.line)
    for _, name in ipairs(last.headers) do
        assert.is_nil(name:find "cookie")
        assert.is_nil(name:find "proxy")
    end
    assert.equal(0, #elsewhere:events "connection")
    assert.equal(0, #elsewhere:events "request")
end

return hostile
