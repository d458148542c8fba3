-- Connections: kept, closed, dying at every moment; and answers that are nobody's.
local certificates = require "certificates"
local cjson = require "cjson"
local closing = require "every_lua".closing
local expect = require "expect"
local process = require "process"
local sandbox = require "sandbox"
local server = require "server"

local FORGED = '{"requestId":"TFORGED","response":{"requestId":"TFORGED","size":666}}'
local FORGED_ANSWER = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
    .. #FORGED .. "\r\n\r\n" .. FORGED

for _, transport in ipairs { "TLS", "plain http" } do
    describe("a connection over " .. transport, function()
        local box

        setup(function()
            box = sandbox.start(transport == "plain http" and { "--http" } or {})
        end)
        teardown(function()
            box:stop()
        end)
        before_each(function()
            box:faults {}
        end)

        it("serves a hundred calls", function()
            local client = closing(box:client())
            for i = 1, 100 do
                local response = expect.success(client:call("Echo", { i = i }))
                assert.equal(i, response.params.i)
            end
            assert.equal(1, #box:connections())
            assert.equal(100, #box:requests())
        end)

        it("opened by connect() serves the calls", function()
            local client = closing(box:client())
            assert.is_true(client:connect())
            assert.equal(0, #box:requests())
            assert.equal(1, #box:connections())
            expect.success(client:call("Echo"))
            expect.success(client:stop_instances(box:ids(1)))
            assert.is_true(client:connect())
            assert.equal(1, #box:connections())
            for _, line in ipairs(box:journal()) do
                assert.is_true(line.method ~= "HEAD" or line.auth == "none")
            end
        end)

        it("is not used again after Connection: close", function()
            local client = closing(box:client())
            box:faults { { fault = "connection_close", requests = { 1, 2 } } }
            for _ = 1, 3 do
                local _, batches = expect.success(client:stop_instances(box:ids(1)))
                assert.equal(1, batches[1].attempts)
            end
            assert.equal(3, #box:requests())
            assert.equal(3, #box:connections())
        end)

        it("closed while it was idle is replaced", function()
            local client = closing(box:client { max_attempts = 1 })
            -- The end comes without having been told of.
            box:faults { {
                fault = "connection_close", requests = { 1 }, headers = { Connection = cjson.null },
            } }
            expect.success(client:call("Echo"))
            process.sleep(0.1)
            expect.success(client:call("Echo"))
            local requests = box:requests()
            assert.equal(2, #requests)
            assert.is_true(requests[1].connection ~= requests[2].connection)
        end)

        for _, fault in ipairs {
            { fault = "reset_before" }, { fault = "reset_after" }, { fault = "reset_unread" },
            { fault = "close_before" }, { fault = "close_after" },
            { fault = "close_before", notify = false }, { fault = "close_after", notify = false },
        } do
            local name = fault.fault .. (fault.notify == false and ", rudely" or "")

            it(("that dies on its second request (%s) loses an unsafe one"):format(name), function()
                local client = closing(box:client())
                expect.success(client:call("Echo"))
                fault.requests = { 1 }
                box:faults { fault }
                local err = expect.failure({
                    kind = "network", code = "CONNECTION_LOST", outcome = "unknown", attempts = 1,
                }, client:call("Echo"))
                local requests = box:requests()
                assert.equal(err.attempts, #requests)
                assert.equal(2, requests[1].nth_on_connection)
                assert.equal(fault.fault:find "after" ~= nil, requests[1].acted)
                expect.success(client:call("Echo"))
                assert.equal(2, #box:requests())
            end)

            it(("that dies on its second request (%s) delays a safe one"):format(name), function()
                local client = closing(box:client { max_attempts = 2 })
                expect.success(client:call("Echo"))
                fault.requests = { 1 }
                box:faults { fault }
                local ids = box:ids(1)
                assert.same({ [ids[1]] = "RUNNING" }, client:describe_instances_status(ids))
                local requests = box:requests()
                assert.equal(2, #requests)
                assert.is_true(requests[1].connection ~= requests[2].connection)
            end)
        end

        it("that dies under a batch is told in attempts", function()
            local client = closing(box:client())
            expect.success(client:call("Echo"))
            box:faults { { fault = "close_before", requests = { 1, 2 } } }
            local _, batches = expect.success(client:stop_instances(box:ids(1)))
            assert.equal(3, batches[1].attempts)
            assert.equal(3, #box:requests())
        end)

        for _, moment in ipairs { "same", "later" } do
            it(("with bytes nobody asked for (%s) is dropped"):format(moment), function()
                local client = closing(box:client { max_attempts = 1 })
                box:faults { {
                    fault = "stray", requests = { 1 }, after = moment, bytes = FORGED_ANSWER,
                } }
                local first, first_id = expect.success(client:call("Echo", { n = 1 }))
                assert.equal(1, first.params.n)
                process.sleep(0.3)
                local second, second_id = expect.success(client:call("Echo", { n = 2 }))
                assert.equal(2, second.params.n)
                local requests = box:requests()
                assert.equal(2, #requests)
                assert.equal(requests[1].request_id, first_id)
                assert.equal(requests[2].request_id, second_id)
                assert.is_true(requests[1].connection ~= requests[2].connection)
            end)
        end

        it("with a single stray byte is dropped", function()
            local client = closing(box:client { max_attempts = 1 })
            box:faults { { fault = "stray", requests = { 1 }, after = "later", bytes = "\n" } }
            expect.success(client:call("Echo"))
            process.sleep(0.3)
            expect.success(client:call("Echo"))
            assert.equal(2, #box:requests())
            assert.equal(2, #box:connections())
        end)

        it("with a second answer behind Content-Length is dropped", function()
            local client = closing(box:client { max_attempts = 1 })
            local body = '{"requestId":"T1","response":{}}'
            box:faults { {
                fault = "answer", requests = { 1 }, body = body .. FORGED_ANSWER,
                headers = { ["Content-Length"] = tostring(#body) },
            } }
            expect.success(client:call("Echo"))
            local response = expect.success(client:call("Echo", { n = 2 }))
            assert.equal(2, response.params.n)
        end)

        it("carries a body of 1 MiB whole, once", function()
            local client = closing(box:client { max_attempts = 1, timeout = 60 })
            local text = ("0123456789abcdef"):rep(65536)
            local file = box.directory .. "/body"
            process.write(file, '{"text":"' .. text .. '"}')
            local response = expect.success(client:call("Echo", { text = text }))
            assert.equal(#text + 11, response.size)
            assert.equal(process.check { "sha256sum", file }:match "^%x+", response.sha256)
            assert.equal(text, response.params.text)
            local requests = box:requests()
            assert.equal(1, #requests)
            assert.equal(#text + 11, requests[1].body_bytes)
        end)

        it("brings answers in dribbles, and in chunks", function()
            local client = closing(box:client { max_attempts = 1 })
            for _, fault in ipairs {
                { fault = "slow", chunk = 1, pause = 0.0005 }, { fault = "slow", chunk = 50 },
                { fault = "chunked" }, { fault = "huge_body", bytes = 3000000 },
                { fault = "no_date" }, { fault = "headers", headers = { ["X-Empty"] = "" } },
            } do
                box:faults { fault }
                local response, request_id = expect.success(client:call("Echo", { n = 7 }))
                assert.equal(7, response.params.n)
                assert.equal(box:requests()[1].request_id, request_id)
            end
        end)

        it("there are never more than max_concurrency requests at once", function()
            local client = closing(box:client { max_concurrency = 4 })
            box:faults { { fault = "delay", seconds = 0.15 } }
            local _, batches = expect.success(client:stop_instances(box:ids(1600)))
            assert.equal(16, #batches)
            local requests = box:requests()
            assert.equal(16, #requests)
            -- A request is under way from its line in the journal for 0.15 s at least.
            for i = 5, #requests do
                assert.is_true(requests[i].time - requests[i - 4].time >= 0.149)
            end
            assert.is_true(#box:connections() <= 4)
            assert.is_true(#box:connections() >= 2)
        end)

        it("one at a time with max_concurrency = 1, on one connection", function()
            local client = closing(box:client { max_concurrency = 1 })
            box:faults { { fault = "delay", seconds = 0.05 } }
            expect.success(client:stop_instances(box:ids(500)))
            local requests = box:requests()
            assert.equal(5, #requests)
            for i = 2, #requests do
                assert.is_true(requests[i].time - requests[i - 1].time >= 0.049)
            end
            assert.equal(1, #box:connections())
        end)

        it("kept connections serve the next operation", function()
            local client = closing(box:client { max_concurrency = 4 })
            box:faults { { fault = "delay", seconds = 0.03 } }
            expect.success(client:stop_instances(box:ids(800)))
            local opened = #box:connections()
            box:faults { { fault = "delay", seconds = 0.03 } }
            expect.success(client:stop_instances(box:ids(opened * 100)))
            assert.equal(0, #box:connections())
        end)
    end)
end

-- libcurl itself reads, and drops, what comes in one piece with the end of such an answer; what
-- does not fit its buffer, and what comes later, would be the next call's.
describe("stray bytes after an answer without a length of its own", function()
    local function after(step, connections)
        local other = server.start("scripted", { script = { step } })
        local box = setmetatable({ endpoint = "http://127.0.0.1:" .. other.port }, sandbox)
        local client = closing(box:client { max_attempts = 1 })
        local _, err = client:call("First")
        process.sleep(0.15)
        local response, request_id = client:call("Second")
        local requests, opened = other:events "request", other:events "connection"
        other:stop()
        assert.equal("BAD_RESPONSE", err.code)
        assert.equal("unknown", err.outcome)
        expect.success(response, request_id)
        assert.equal("TSCRIPT", request_id)
        assert.equal("server.py", response.from)
        assert.equal(2, #requests)
        assert.is_true(#opened >= connections)
    end

    for name, answer in pairs {
        ["204"] = "HTTP/1.1 204 No Content\r\n\r\n",
        ["200 of length 0"] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ["chunks"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    } do
        it(name .. ", in the same send", function()
            after({ send = answer .. FORGED_ANSWER }, 1)
        end)
        it(name .. ", in the same send, a lot", function()
            after({ send = answer .. ("x"):rep(200000) .. FORGED_ANSWER }, 2)
        end)
        it(name .. ", later", function()
            after({ send = answer, more = FORGED_ANSWER }, 2)
        end)
    end
end)

describe("a connection that was reset while it was idle", function()
    for _, transport in ipairs { "TLS", "plain http" } do
        it("is replaced, over " .. transport, function()
            local directory = process.temporary_directory()
            certificates.make(directory)
            local options = { script = {} }
            for i = 1, 6 do
                options.script[i] = { send = "@OK@", ["then"] = "reset" }
            end
            if transport == "TLS" then
                options.cert = directory .. "/server.pem"
                options.key = directory .. "/server-key.pem"
            end
            local other = server.start("scripted", options)
            local scheme = transport == "TLS" and "https" or "http"
            local box = setmetatable({
                endpoint = scheme .. "://127.0.0.1:" .. other.port,
                ca_file = directory .. "/ca.pem",
            }, sandbox)
            local client = closing(box:client { max_attempts = 1 })
            local failures = {}
            for _ = 1, 6 do
                local response, err = client:call("Echo")
                failures[#failures + 1] = not response and tostring(err) or nil
                process.sleep(0.1)
            end
            local requests = other:events "request"
            other:stop()
            process.remove(directory)
            assert.same({}, failures)
            assert.equal(6, #requests)
        end)
    end
end)

-- libcurl keeps such a connection, and takes the bytes that wait there for a sign of life.
describe("a connection that was reset before its first request went out", function()
    it("is not the next call's", function()
        local directory = process.temporary_directory()
        certificates.make(directory)
        local other = server.start("scripted", {
            cert = directory .. "/server.pem", key = directory .. "/server-key.pem",
            minimum = "TLSv1_2", maximum = "TLSv1_2", abrupt = 1,
        })
        local box = setmetatable({
            endpoint = "https://127.0.0.1:" .. other.port, ca_file = directory .. "/ca.pem",
        }, sandbox)
        local client = closing(box:client { max_attempts = 1 })
        local job = client:submit_call "First"
        -- The server's last word and the reset are both there when the client looks again.
        process.await(function()
            client:poll(0)
            process.sleep(0.1)
            return job:done()
        end, "the first call")
        local _, err = job:result()
        local response, request_id = client:call "Second"
        local requests, opened = other:events "request", other:events "connection"
        other:stop()
        process.remove(directory)
        expect.failure({ code = "CONNECTION_LOST" }, nil, err)
        expect.success(response, request_id)
        assert.equal(1, #requests)
        assert.equal(2, #opened)
    end)
end)

describe("odd servers", function()
    -- One call to a server that answers with this text, then does this.
    local function call(steps, options)
        local other = server.start("scripted", { script = steps })
        local box = setmetatable({ endpoint = "http://127.0.0.1:" .. other.port }, sandbox)
        options = options or {}
        options.max_attempts = options.max_attempts or 1
        local client = closing(box:client(options))
        local response, err = client:call("Echo")
        local requests = other:events "request"
        other:stop()
        return response, err, #requests
    end

    it("interim answers are passed over", function()
        local interim = "HTTP/1.1 103 Early Hints\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n"
        local response, request_id = call { { send = interim .. interim .. "@OK@" } }
        expect.success(response, request_id)
        assert.equal("TSCRIPT", request_id)
    end)

    it("what is no HTTP is no answer, and never accepted", function()
        for _, send in ipairs { "SSH-2.0-OpenSSH_9\r\n", '{"requestId":"T1"}', "\r\n\r\n" } do
            local response, err, requests = call { { send = send, ["then"] = "close" } }
            expect.failure({ outcome = "unknown" }, response, err)
            assert.is_true(err.kind == "protocol" or err.kind == "network", tostring(err))
            assert.equal(1, requests)
        end
    end)

    it("an answer in HTTP/1.0 ends with its connection", function()
        local body = '{"requestId":"T1","response":{}}'
        local response, request_id = call {
            { send = "HTTP/1.0 200 OK\r\n\r\n" .. body, ["then"] = "close" },
        }
        expect.success(response, request_id)
        assert.equal("T1", request_id)
    end)

    it("chunks that are cut are an answer that was cut", function()
        local head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        local body = '{"requestId":"T1","response":{}}'
        local chunk = "20\r\n" .. body
        for _, send in ipairs { head, head .. chunk, head .. chunk .. "\r\n" } do
            local response, err = call { { send = send, ["then"] = "close" } }
            expect.failure({ code = "CONNECTION_LOST", outcome = "unknown" }, response, err)
        end
    end)

    it("compressed answers are not asked for, and not understood", function()
        local head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n"
        local response, err = call { { send = head .. "\31\194\139\8" } }
        expect.failure({ code = "BAD_RESPONSE", outcome = "unknown" }, response, err)
    end)

    it("trailers say nothing that matters", function()
        local body = '{"code":"NO","message":"no"}'
        local response, err = call { {
            send = "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n"
                .. ("%x\r\n%s\r\n0\r\n"):format(#body, body)
                .. "cf-mitigated: challenge\r\nRetry-After: 7\r\n\r\n",
        } }
        expect.failure({
            kind = "api", code = "NO", outcome = "rejected", retry_after = expect.ABSENT,
        }, response, err)
    end)

    it("headers without end are bounded", function()
        local response, err, requests = call {
            { send = "HTTP/1.1 200 OK\r\n" .. ("X-A: b\r\n"):rep(20000) .. "\r\n" },
        }
        expect.failure({ code = "RESPONSE_TOO_LARGE", outcome = "unknown" }, response, err)
        assert.equal(1, requests)
    end)

    it("interim answers without end are bounded", function()
        local response, err, requests = call {
            { send = ("HTTP/1.1 100 Continue\r\n\r\n"):rep(20000) },
        }
        expect.failure({ code = "RESPONSE_TOO_LARGE", outcome = "unknown" }, response, err)
        assert.equal(1, requests)
    end)
end)

describe("connect()", function()
    local box

    setup(function()
        box = sandbox.start()
    end)
    teardown(function()
        box:stop()
    end)
    before_each(function()
        box:faults {}
    end)

    -- Once the connection stands, whatever comes over it is all the same.
    for name, rule in pairs {
        ["too long"] = { fault = "headers", headers = { ["Content-Length"] = "999999999999" } },
        ["an error"] = { fault = "status", status = 500 },
        ["a rate limit"] = { fault = "rate_limit", retry_after = 60 },
        ["a redirect"] = { fault = "redirect", location = "https://example.com/" },
        ["too much"] = { fault = "huge_header", bytes = 70000 },
        ["cut in its head"] = { fault = "truncate", bytes = 20 },
        ["cut before it began"] = { fault = "close_before" },
        ["a reset"] = { fault = "reset_before" },
        ["never there"] = { fault = "stall", seconds = 120 },
    } do
        it("is content with an answer that is " .. name, function()
            local client = closing(box:client {
                max_attempts = 1, max_response_bytes = 1000, timeout = 0.5 * process.slowness,
            })
            rule.method = "HEAD"
            box:faults { rule }
            assert.is_true(expect.success(client:connect()))
            assert.equal(1, #box:connections())
            assert.equal(0, #box:requests())
            local response = expect.success(client:call("Echo", { n = 1 }, { timeout = 60 }))
            assert.equal(1, response.params.n)
        end)
    end

    -- A server that does not even shake hands on its first connection.
    describe("to a server that is deaf at first", function()
        local directory

        setup(function()
            directory = process.temporary_directory()
            certificates.make(directory)
        end)
        teardown(function()
            process.remove(directory)
        end)

        -- Whatever connect() ends with, the next call has a connection of its own, and at once.
        local function call_after(connect, options)
            local other = server.start("scripted", {
                cert = directory .. "/server.pem", key = directory .. "/server-key.pem", deaf = 1,
            })
            local at = setmetatable({
                endpoint = "https://127.0.0.1:" .. other.port, ca_file = directory .. "/ca.pem",
            }, sandbox)
            local client = closing(at:client(options))
            local told = table.pack(pcall(connect, client))
            local began = process.now()
            local response, err = client:call("Echo", {}, { max_attempts = 1, timeout = 600 })
            local seconds = process.now() - began
            local opened = #other:events "connection"
            other:stop()
            expect.success(response, err)
            assert.equal(2, opened)
            assert(seconds < 30 * process.slowness, "the call waited " .. seconds .. " s")
            return table.unpack(told, 1, told.n)
        end

        local PATIENT = 60 * process.slowness -- what a call would wait for the deaf connection

        it("leaves nothing behind when it is interrupted", function()
            local ok, err = call_after(function(client)
                local began = process.now()
                debug.sethook(function()
                    if process.now() - began > 0.2 then
                        debug.sethook()
                        error("interrupted!", 0)
                    end
                end, "c")
                client:connect()
            end, { connect_timeout = PATIENT, timeout = PATIENT })
            debug.sethook()
            assert.is_false(ok)
            assert.equal("interrupted!", err)
        end)

        it("leaves nothing behind when it took too long", function()
            for _, options in ipairs {
                { connect_timeout = PATIENT, timeout = 0.3 },
                { connect_timeout = 0.3 * process.slowness, timeout = PATIENT },
            } do
                local ok, result, err = call_after(function(client)
                    return client:connect()
                end, options)
                assert.is_true(ok)
                expect.failure({ code = "CONNECT_TIMEOUT", outcome = "not_sent" }, result, err)
            end
        end)

        it("leaves nothing behind that a second connect() waits for", function()
            local ok, result = call_after(function(client)
                expect.failure({ code = "CONNECT_TIMEOUT" }, client:connect())
                return client:connect()
            end, { connect_timeout = PATIENT, timeout = 0.5 * process.slowness })
            assert.is_true(ok)
            assert.is_true(result)
        end)
    end)
end)
