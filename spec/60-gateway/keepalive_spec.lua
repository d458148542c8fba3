-- Connections of a gateway: kept and used again, never when anything about them is in doubt.
local certificates = require "certificates"
local cjson = require "cjson"
local expect = require "expect"
local process = require "process"
local remote = require "remote"
local sandbox = require "sandbox"
local server = require "server"

local FORGED = '{"requestId":"TFORGED","response":{"requestId":"TFORGED","params":{"n":666}}}'
local FORGED_ANSWER = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
    .. #FORGED .. "\r\n\r\n" .. FORGED

for _, transport in ipairs { "TLS", "plain http" } do
    describe("a gateway's connection over " .. transport, function()
        local box, front, expected

        setup(function()
            box = sandbox.start(transport == "plain http" and { "--http" } or {})
        end)
        teardown(function()
            box:stop()
        end)
        before_each(function()
            box:faults {}
            front = remote.start(box, { options = { max_attempts = 1 } })
            expected = nil
        end)
        after_each(function()
            front:stop(expected)
        end)

        local function echo(n, client)
            local response, request_id = expect.success(
                (client or front:first()):call("Echo", { n = n }))
            assert.equal(n, response.params.n)
            return request_id
        end

        it("serves a hundred calls of a hundred requests", function()
            for i = 1, 100 do
                echo(i)
            end
            assert.equal(100, #box:requests())
            assert.equal(1, #box:connections())
        end)

        it("serves a hundred calls of one request, in chunks and with a length", function()
            box:faults { { fault = "chunked", probability = 0.5, seed = 7 } }
            local good = front:first():run [[
                local good = 0
                for i = 1, 100 do
                    local response = assert(client:call("Echo", { n = i }))
                    good = good + (response.params.n == i and 1 or 0)
                end
                return good
            ]]
            assert.equal(100, good)
            assert.equal(100, #box:requests())
            assert.equal(1, #box:connections())
        end)

        it("is one for each worker", function()
            front:stop()
            front = remote.start(box, { workers = 2 })
            box:mark()
            for round = 1, 10 do
                local under_way = {}
                for i = 1, 10 do
                    under_way[i] = front:first():begin("return client:call('Echo', { n = ... })",
                        10 * round + i)
                    if i % 5 == 0 then -- not too many at once: each would need one of its own
                        for k = i - 4, i do
                            assert.equal(10 * round + k, under_way[k]:result().params.n)
                        end
                    end
                end
            end
            assert.equal(100, #box:requests())
            -- Five were under way at once at the most; max_concurrency bounds what a worker keeps.
            assert.is_true(#box:connections() <= 10)
        end)

        it("is kept by name: clients of the same endpoint share it", function()
            echo(1)
            echo(2, front:client())
            echo(3, front:client { max_attempts = 2 })
            assert.equal(1, #box:connections())
        end)

        it("is not used again after Connection: close", function()
            box:faults { { fault = "connection_close", requests = { 1, 2 } } }
            for i = 1, 3 do
                echo(i)
            end
            assert.equal(3, #box:requests())
            assert.equal(3, #box:connections())
        end)

        it("closed while it was idle is replaced", function()
            box:faults { {
                fault = "connection_close", requests = { 1 }, headers = { Connection = cjson.null },
            } }
            echo(1)
            process.sleep(0.2)
            echo(2)
            assert.equal(2, #box:requests())
            assert.equal(2, #box:connections())
        end)

        for _, fault in ipairs {
            { fault = "reset_before" }, { fault = "reset_after" }, { fault = "reset_unread" },
            { fault = "close_before" }, { fault = "close_after" },
            { fault = "close_before", notify = false }, { fault = "close_after", notify = false },
        } do
            local name = fault.fault .. (fault.notify == false and ", rudely" or "")

            it(("that dies as it is used again (%s) is not hushed up"):format(name), function()
                if transport == "plain http" and fault.fault:find "^reset" then
                    expected = { "recv%(%) failed %(104: Connection reset by peer%)" }
                end
                echo(1)
                fault.requests = { 1 }
                box:faults { fault }
                local err = remote.failure({
                    kind = "network", code = "CONNECTION_LOST", outcome = "unknown", attempts = 1,
                }, front:first():call("Echo"))
                local requests = box:requests()
                assert.equal(err.attempts, #requests)
                assert.equal(2, requests[1].nth_on_connection)
                assert.equal(fault.fault:find "after" ~= nil, requests[1].acted)
                -- A stop is sent again, and says how often.
                fault.requests = { 3 }
                box:faults { fault }
                echo(2)
                echo(3)
                local ids = box:ids(1)
                local statuses = expect.success(front:client { max_attempts = 2 }
                    :describe_instances_status(ids))
                assert.same({ [ids[1]] = "RUNNING" }, statuses)
                requests = box:requests()
                assert.equal(4, #requests)
                assert.is_true(requests[3].connection ~= requests[4].connection)
            end)
        end

        for _, moment in ipairs { "same", "later" } do
            it(("with bytes nobody asked for (%s) is dropped"):format(moment), function()
                box:faults { {
                    fault = "stray", requests = { 1 }, after = moment, bytes = FORGED_ANSWER,
                } }
                local first_id = echo(1)
                process.sleep(moment == "later" and 0.3 or 0)
                local second_id = echo(2)
                local requests = box:requests()
                assert.equal(2, #requests)
                assert.equal(requests[1].request_id, first_id)
                assert.equal(requests[2].request_id, second_id)
                assert.equal(2, #box:connections())
            end)
        end

        it("with a single stray byte is dropped", function()
            box:faults { { fault = "stray", requests = { 1 }, after = "later", bytes = "\n" } }
            echo(1)
            process.sleep(0.3)
            echo(2)
            assert.equal(2, #box:connections())
        end)

        it("with a second answer behind Content-Length is dropped", function()
            local body = '{"requestId":"T1","response":{"params":{"n":1}}}'
            box:faults { {
                fault = "answer", requests = { 1 }, body = body .. FORGED_ANSWER,
                headers = { ["Content-Length"] = tostring(#body) },
            } }
            echo(1)
            echo(2)
            assert.equal(2, #box:connections())
        end)

        it("on which time ran out is never used again", function()
            echo(1)
            -- The answer comes, but late: whoever used the connection again would read it.
            box:faults { { fault = "delay", seconds = 1, requests = { 1 } } }
            remote.failure({ code = "TIMEOUT", outcome = "unknown", attempts = 1 },
                front:first():run "return client:call('Echo', { n = 2 }, { timeout = 0.3 })")
            for i = 3, 6 do
                echo(i)
            end
            process.sleep(1)
            for i = 7, 9 do
                echo(i)
            end
            local requests = box:requests()
            assert.equal(8, #requests)
            for i = 2, #requests do
                assert.is_true(requests[i].connection ~= requests[1].connection)
            end
        end)

        it("on which a deadline passed is never used again", function()
            echo(1)
            box:faults { { fault = "delay", seconds = 1, requests = { 1, 2, 3 } } }
            local err = remote.failure({ code = "DEADLINE_EXCEEDED", outcome = "unknown" },
                front:first():run("return client:stop_instances(..., { deadline = 0.4 })",
                    box:ids(250)))
            assert.equal(3, #err.batches)
            process.sleep(1)
            local before = {}
            for _, request in ipairs(box:requests()) do
                before[request.connection] = true
            end
            box:mark()
            echo(2)
            assert.is_nil(before[box:requests()[1].connection])
        end)

        it("with an answer over max_response_bytes is dropped", function()
            box:faults { { fault = "huge_body", bytes = 100000, requests = { 1 } } }
            remote.failure({
                kind = "protocol", code = "RESPONSE_TOO_LARGE", outcome = "unknown", attempts = 1,
            }, front:client { max_response_bytes = 20000 }:call("Echo"))
            echo(2)
            assert.equal(2, #box:connections())
        end)

        it("is used again by the next operation of many at once", function()
            local far = front:client { max_concurrency = 4 }
            box:faults { { fault = "delay", seconds = 0.05 } }
            expect.success(far:stop_instances(box:ids(800)))
            local opened = #box:connections()
            assert.is_true(opened >= 2 and opened <= 4, opened)
            box:faults { { fault = "delay", seconds = 0.05 } }
            expect.success(far:stop_instances(box:ids(opened * 100)))
            assert.equal(0, #box:connections())
        end)
    end)
end

describe("a gateway's connection that ended", function()
    local directory

    setup(function()
        directory = process.temporary_directory()
        certificates.make(directory)
    end)
    teardown(function()
        process.remove(directory)
    end)

    for _, transport in ipairs { "TLS", "plain http" } do
        local is_tls = transport == "TLS"

        -- To a server that ends its first connection a moment after the first answer.
        local function call(text)
            local other = server.start("scripted", {
                script = { { send = "@OK@", more = "", ["then"] = "close" } },
                cert = is_tls and directory .. "/server.pem" or nil,
                key = is_tls and directory .. "/server-key.pem" or nil,
            })
            local front = remote.start(setmetatable({
                endpoint = (is_tls and "https" or "http") .. "://127.0.0.1:" .. other.port,
                ca_file = directory .. "/ca.pem",
            }, sandbox))
            local response, err = front:client { max_attempts = 1 }:run(text)
            local requests, opened = #other:events "request", #other:events "connection"
            other:stop()
            front:stop()
            return response, err, requests, opened
        end

        it("while nginx looked is replaced, over " .. transport, function()
            local response, err, requests, opened = call [[
                assert(client:call "Echo")
                ngx.sleep(0.5)
                return client:call "Echo"
            ]]
            expect.success(response, err)
            assert.equal(2, requests)
            assert.equal(2, opened)
        end)

        -- The worker is busy as the end comes, and so still takes the connection for a good one.
        it("while nginx did not look loses the call, which is told, over " .. transport, function()
            local response, err, requests, opened = call [[
                assert(client:call "Echo")
                os.execute "sleep 0.5"
                return client:call "Echo"
            ]]
            remote.failure({
                kind = "network", code = "CONNECTION_LOST", outcome = "unknown", attempts = 1,
            }, response, err)
            assert.equal(1, requests)
            assert.equal(1, opened)
        end)
    end
end)

describe("an answer without end", function()
    it("is read no further than it may be", function()
        for _, step in ipairs {
            { send = "HTTP/1.1 200 OK\r\n", for_ever = "X-Filler: " .. ("x"):rep(90) .. "\r\n" },
            { send = "HTTP/1.1 200 OK\r\nX-Filler: ", for_ever = ("x"):rep(100) },
            { send = "", for_ever = ("x"):rep(100) },
            { send = "", for_ever = "HTTP/1.1 100 Continue\r\n\r\n" },
            { send = "HTTP/1.1 200 OK\r\n\r\n", for_ever = ("x"):rep(100) },
            {
                send = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                for_ever = "64\r\n" .. ("x"):rep(100) .. "\r\n",
            },
            {
                send = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64;a=",
                for_ever = ("x"):rep(100),
            },
            {
                send = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
                for_ever = "X-Filler: x\r\n",
            },
        } do
            local other = server.start("scripted", { script = { step } })
            local front = remote.start(setmetatable({
                endpoint = "http://127.0.0.1:" .. other.port,
            }, sandbox), { options = { max_attempts = 3, max_response_bytes = 100000 } })
            local result, err = front:first():stop_instances { "a" }
            local response, request_id = front:first():call "Echo"
            local opened = #other:events "connection"
            other:stop()
            front:stop()
            remote.failure({
                kind = "protocol", code = "RESPONSE_TOO_LARGE", outcome = "unknown", attempts = 1,
            }, result, err)
            expect.success(response, request_id)
            assert.equal(2, opened)
        end
    end)
end)
