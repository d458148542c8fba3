-- Where an answer ends: bytes as they came, read by resty.zenlayer from a server that says what it
-- is told to.
local remote = require "remote"
local sandbox = require "sandbox"
local server = require "server"

local BODY = '{"requestId":"TRAW","response":{"n":1}}'
local LENGTH = "Content-Length: " .. #BODY .. "\r\n"

local box, front

setup(function()
    box = sandbox.start()
    front = remote.start(box)
end)
teardown(function()
    box:stop()
    front:stop { "Connection reset by peer" } -- of the server that does so
end)

-- A client of a server that plays these steps, over all of its connections.
local function scripted(steps, options)
    local other = server.start("scripted", { script = steps })
    local all = { endpoint = "http://127.0.0.1:" .. other.port, max_attempts = 1, timeout = 5 }
    for name, value in pairs(options or {}) do
        all[name] = value
    end
    return front:client(all), other
end

-- What a call comes to that is answered so, and whether the connection is used again.
local function answered(step, options)
    local client, other = scripted({ step }, options)
    local response, err = client:call "StopThings"
    local second = client:call "StopThings"
    local connections, requests = #other:events "connection", #other:events "request"
    other:stop()
    assert.equal("server.py", second and second.from)
    assert.equal(2, requests)
    return response, err, connections == 1
end

describe("an answer is read", function()
    local function chunks(text, size, extension)
        local parts = {}
        for i = 1, #text, size do
            local piece = text:sub(i, i + size - 1)
            parts[#parts + 1] = ("%x%s\r\n%s\r\n"):format(#piece, extension or "", piece)
        end
        return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" .. table.concat(parts)
    end

    for name, case in pairs {
        ["with a length"] = { "HTTP/1.1 200 OK\r\n" .. LENGTH .. "\r\n" .. BODY, true },
        ["with a length in two headers"] = {
            "HTTP/1.1 200 OK\r\n" .. LENGTH .. LENGTH .. "\r\n" .. BODY, true,
        },
        ["without a reason"] = { "HTTP/1.1 200\r\n" .. LENGTH .. "\r\n" .. BODY, true },
        ["in chunks"] = { chunks(BODY, 7) .. "0\r\n\r\n", true },
        ["in chunks of a byte, with extensions"] = { chunks(BODY, 1, ";a=b") .. "0\r\n\r\n", true },
        ["in chunks, with trailers"] = {
            chunks(BODY, 100) .. "0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n", true,
        },
        ["after interim answers"] = {
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
                .. "HTTP/1.1 200 OK\r\n" .. LENGTH .. "\r\n" .. BODY, true,
        },
        ["and its connection closed as it says"] = {
            "HTTP/1.1 200 OK\r\nConnection: x, Close\r\n" .. LENGTH .. "\r\n" .. BODY, false,
        },
        ["from HTTP/1.0, which keeps no connection"] = {
            "HTTP/1.0 200 OK\r\n" .. LENGTH .. "\r\n" .. BODY, false,
        },
        ["up to the end of the connection"] = {
            "HTTP/1.1 200 OK\r\n\r\n" .. BODY, false, "close",
        },
        ["though bytes follow that are nobody's"] = {
            "HTTP/1.1 200 OK\r\n" .. LENGTH .. "\r\n" .. BODY .. "HTTP/1.1 200 OK\r\n", false,
        },
    } do
        it(name, function()
            local response, err, kept = answered { send = case[1], ["then"] = case[3] or "keep" }
            assert.same({ n = 1 }, response, tostring(err))
            assert.equal(case[2], kept)
        end)
    end

    it("in two pieces, cut anywhere", function()
        local text = chunks(BODY, 16) .. "0\r\n\r\n"
        local steps = {}
        local cuts = { 1, 8, 15, 17, 30, 45, 47, 48, 49, 64, 65, 66, #text - 3, #text - 1 }
        for i, at in ipairs(cuts) do
            steps[i] = { send = text:sub(1, at), more = text:sub(at + 1), ["then"] = "keep" }
        end
        local client, other = scripted(steps)
        for i = 1, #cuts do
            local response, err = client:call "StopThings"
            assert.same({ n = 1 }, response, cuts[i] .. ": " .. tostring(err))
        end
        local connections = #other:events "connection"
        other:stop()
        assert.equal(1, connections)
    end)
end)

describe("an answer is refused", function()
    local function head(...)
        return "HTTP/1.1 200 OK\r\n" .. table.concat({ ... }, "\r\n") .. "\r\n\r\n"
    end

    local LONG = ("x"):rep(1000)
    local cases = {
        ["that is no HTTP"] = { "SSH-2.0-OpenSSH_9.2\r\n\r\n", "BAD_RESPONSE" },
        ["of another version"] = { "HTTP/2 200 OK\r\n\r\n", "BAD_RESPONSE" },
        ["whose lines end in LF"] = {
            "HTTP/1.1 200 OK\nContent-Length: 2\n\n{}\r\n\r\n", "BAD_RESPONSE",
        },
        ["with a folded header"] = {
            head("A: b", " c", "Content-Length: 2") .. "{}", "BAD_RESPONSE",
        },
        ["with a header without a name"] = {
            head(": b", "Content-Length: 2") .. "{}", "BAD_RESPONSE",
        },
        ["with a blank before the colon"] = { head "Content-Length : 2" .. "{}", "BAD_RESPONSE" },
        ["with two lengths"] = {
            head("Content-Length: 2", "Content-Length: 3") .. "{}", "BAD_RESPONSE",
        },
        ["with a length that is no number"] = {
            head "Content-Length: 0x2" .. "{}", "BAD_RESPONSE",
        },
        ["with a length and chunks"] = {
            head("Content-Length: 2", "Transfer-Encoding: chunked") .. "0\r\n\r\n", "BAD_RESPONSE",
        },
        ["in another transfer encoding"] = {
            head "Transfer-Encoding: gzip, chunked", "BAD_RESPONSE",
        },
        ["with a chunk of no size"] = {
            head "Transfer-Encoding: chunked" .. "\r\n\r\n", "BAD_RESPONSE",
        },
        ["with a negative chunk"] = {
            head "Transfer-Encoding: chunked" .. "-2\r\n{}\r\n0\r\n\r\n", "BAD_RESPONSE",
        },
        ["with a chunk of more digits than any"] = {
            head "Transfer-Encoding: chunked" .. ("0"):rep(20) .. "2\r\n{}\r\n0\r\n\r\n",
            "BAD_RESPONSE",
        },
        ["with a chunk that is longer than it says"] = {
            head "Transfer-Encoding: chunked" .. "1\r\n{}\r\n0\r\n\r\n", "BAD_RESPONSE",
        },
        ["that changes the protocol"] = {
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "BAD_RESPONSE",
        },
        ["with an endless head"] = {
            "HTTP/1.1 200 OK\r\n" .. ("A: " .. LONG .. "\r\n"):rep(70), "RESPONSE_TOO_LARGE",
        },
        ["with endless interim answers"] = {
            ("HTTP/1.1 100 Continue\r\nA: " .. LONG .. "\r\n\r\n"):rep(70), "RESPONSE_TOO_LARGE",
        },
        ["with endless trailers"] = {
            head "Transfer-Encoding: chunked" .. "0\r\n" .. ("A: " .. LONG .. "\r\n"):rep(70),
            "RESPONSE_TOO_LARGE",
        },
        ["that declares a body over max_response_bytes"] = {
            head "Content-Length: 10000000000", "RESPONSE_TOO_LARGE",
        },
        ["whose chunks are over max_response_bytes"] = {
            head "Transfer-Encoding: chunked" .. ("3e8\r\n" .. LONG .. "\r\n"):rep(6),
            "RESPONSE_TOO_LARGE",
        },
        ["whose body goes on over max_response_bytes"] = {
            head "A: b" .. LONG:rep(6), "RESPONSE_TOO_LARGE",
        },
        ["that is cut in its head"] = { "HTTP/1.1 200 OK\r\nConte", "CONNECTION_LOST", "close" },
        ["that is cut in its body"] = {
            head("Content-Length: 40") .. "{}", "CONNECTION_LOST", "close",
        },
        ["that is cut in its chunks"] = {
            head "Transfer-Encoding: chunked" .. "2\r\n{}\r\n", "CONNECTION_LOST", "close",
        },
        ["that is empty"] = { "", "CONNECTION_LOST", "close" },
    }
    for name, case in pairs(cases) do
        it(name, function()
            local response, err, kept = answered(
                { send = case[1], ["then"] = case[3] or "keep" }, { max_response_bytes = 5000 })
            remote.failure({ code = case[2], outcome = "unknown", attempts = 1 }, response, err)
            assert.is_false(kept)
        end)
    end
end)

describe("a kept connection", function()
    it("that the server closes as the request comes is a lost answer, sent once", function()
        local client, other = scripted {
            { send = "@OK@", ["then"] = "keep" }, { send = "", ["then"] = "close" },
        }
        assert.equal("server.py", client:call("StopThings").from)
        local response, err = client:call "StopThings"
        remote.failure({ code = "CONNECTION_LOST", outcome = "unknown", attempts = 1 }, response,
            err)
        local requests = #other:events "request"
        other:stop()
        assert.equal(2, requests)
    end)

    it("that dies is tried again where that is safe, and counted", function()
        local client, other = scripted({
            { send = "@OK@", ["then"] = "keep" }, { send = "", ["then"] = "reset" },
        }, { max_attempts = 3 })
        assert.equal("server.py", client:call("DescribeThings").from)
        local request_ids, batches = client:stop_instances { "a" }
        assert.equal("TSCRIPT", request_ids and request_ids[1], tostring(batches))
        assert.equal(2, batches[1].attempts)
        local requests = #other:events "request"
        other:stop()
        assert.equal(3, requests)
    end)

    it("with an answer that came while it was idle is not used", function()
        local client, other = scripted {
            { send = "@OK@", more = "HTTP/1.1 200 OK\r\n" .. LENGTH .. "\r\n" .. BODY,
              ["then"] = "keep" },
        }
        assert.equal("server.py", client:call("StopThings").from)
        client:run "ngx.sleep(0.2)"
        assert.equal("server.py", client:call("StopThings").from)
        local connections = #other:events "connection"
        other:stop()
        assert.equal(2, connections)
    end)

    it("that timed out is not used again", function()
        local client, other = scripted({
            { send = "HTTP/1.1 200 OK\r\n", ["then"] = "keep" },
        }, { timeout = 0.3 })
        local response, err = client:call "StopThings"
        remote.failure({ code = "TIMEOUT", outcome = "unknown" }, response, err)
        assert.equal("server.py", client:call("StopThings").from)
        local connections = #other:events "connection"
        other:stop()
        assert.equal(2, connections)
    end)
end)
