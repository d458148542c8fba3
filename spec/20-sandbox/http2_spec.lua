-- HTTP/2, through an nginx before the sandbox.
local closing = require "every_lua".closing
local expect = require "expect"
local nginx = require "nginx"
local process = require "process"
local sandbox = require "sandbox"

describe("over HTTP/2", function()
    local box, front

    setup(function()
        box = sandbox.start { "--http" }
        front = nginx.start(box.endpoint)
    end)
    teardown(function()
        front:stop()
        box:stop()
    end)
    before_each(function()
        box:faults {}
        front:mark()
    end)

    local function new(options, before)
        options = options or {}
        options.endpoint = (before or front).endpoint
        options.ca_file = (before or front).ca_file
        options.proxy = false
        return box:client(options)
    end

    local function count_connections(log)
        local seen, n = {}, 0
        for _, line in ipairs(log) do
            if not seen[line.connection] then
                seen[line.connection] = true
                n = n + 1
            end
        end
        return n
    end

    -- As soon as the sandbox has its next request, kill nginx's worker.
    local function kill_worker_in_mid_request()
        local script = [[
            tries=0
            until tail -c +%d %s | grep -q '"seq"' || [ $tries -gt 200 ]; do
                tries=$((tries + 1)); sleep 0.05
            done
            kill -9 %d]]
        os.execute(("(" .. script .. ") </dev/null >/dev/null 2>&1 &"):format(box.from + 1,
            process.quote(box.journal_file), front:worker()))
    end

    it("calls work", function()
        local client = closing(new())
        local ids = box:ids(2)
        local request_ids = expect.success(client:stop_instances({ ids[1] }))
        assert.equal(box:requests()[1].request_id, request_ids[1])
        assert.same({ [ids[1]] = "STOPPING", [ids[2]] = "RUNNING" },
            client:describe_instances_status(ids))
        local response = expect.success(client:call("Echo", { a = 1 }))
        assert.equal(1, response.params.a)
        local log = front:log(3)
        assert.equal(3, #log)
        for _, line in ipairs(log) do
            assert.equal("HTTP/2.0", line.protocol)
            assert.equal("POST", line.method)
            assert.equal(200, line.status)
        end
        assert.equal(1, count_connections(log))
        for _, request in ipairs(box:requests()) do
            assert.is_true(request.verified)
            assert.equal("127.0.0.1:" .. front.server.port, request.host)
        end
    end)

    it("connect() opens the connection that the calls use", function()
        local client = closing(new())
        assert.is_true(client:connect())
        expect.success(client:call("Echo"))
        local log = front:log(2)
        assert.equal("HEAD", log[1].method)
        assert.equal(1, count_connections(log))
    end)

    it("many batches share one connection", function()
        local client = closing(new { max_concurrency = 16 })
        box:faults { { fault = "delay", seconds = 0.1 } }
        local ids = box:ids(3000)
        local began = process.now()
        local _, batches = expect.success(client:stop_instances(ids))
        expect.partition(ids, batches)
        assert.is_true(process.now() - began < 2.5 * process.slowness) -- one by one: 3 s
        local log = front:log(30)
        assert.equal(30, #log)
        assert.equal(1, count_connections(log))
        assert.equal(30, #box:requests())
    end)

    it("there are never more than max_concurrency requests at once", function()
        local client = closing(new { max_concurrency = 3 })
        box:faults { { fault = "delay", seconds = 0.1 } }
        expect.success(client:stop_instances(box:ids(900)))
        local requests = box:requests()
        assert.equal(9, #requests)
        for i = 4, #requests do
            assert.is_true(requests[i].time - requests[i - 3].time >= 0.099)
        end
    end)

    it("carries a body of 1 MiB whole, once", function()
        local client = closing(new { max_attempts = 1, timeout = 60 })
        local text = ("0123456789abcdef"):rep(65536)
        local response = expect.success(client:call("Echo", { text = text }))
        assert.equal(#text + 11, response.size)
        assert.equal(text, response.params.text)
        assert.equal(1, #box:requests())
    end)

    it("refusals come through", function()
        local client = closing(new())
        local err = expect.failure({
            kind = "api", code = "INVALID_INSTANCE_NOT_FOUND", outcome = "rejected",
            http_status = 404, attempts = 1,
        }, client:stop_instances(box:ids(1, "missing-")))
        assert.equal(box:requests()[1].request_id, err.request_id)
    end)

    it("Retry-After and Date are read", function()
        local client = closing(new())
        box:faults { { fault = "rate_limit", times = 1, retry_after = 1 } }
        expect.success(client:call("Echo"))
        local requests = box:requests()
        assert.equal(2, #requests)
        assert.is_true(requests[2].time - requests[1].time >= 1)
    end)

    for _, fault in ipairs { "reset_before", "reset_after", "close_before" } do
        it(("a proxy's 502 (%s) is tried again only if safe"):format(fault), function()
            local client = closing(new { max_attempts = 2 })
            box:faults { { fault = fault, times = 1 } }
            expect.failure({
                kind = "protocol", code = "BAD_RESPONSE", outcome = "unknown", attempts = 1,
                http_status = 502,
            }, client:call("Echo"))
            assert.equal(1, #box:requests())
            box:faults { { fault = fault, times = 1 } }
            expect.success(client:describe_instances_status(box:ids(1)))
            assert.equal(2, #box:requests())
        end)
    end

    it("an answer over its bounds ends its stream alone", function()
        local client = closing(new { max_response_bytes = 10000 })
        box:faults { { fault = "huge_body", bytes = 500000, times = 1 } }
        expect.failure({ code = "RESPONSE_TOO_LARGE", outcome = "unknown", attempts = 1 },
            client:describe_instances_status(box:ids(1)))
        assert.equal(1, #box:requests())
        expect.success(client:describe_instances_status(box:ids(1)))
        assert.equal(2, #box:requests())
    end)

    it("a timeout ends its stream, and its late answer is nobody's", function()
        local client = closing(new { max_attempts = 1 })
        client:connect()
        box:faults { { fault = "delay", seconds = 0.6, times = 1 } }
        expect.failure({ kind = "timeout", code = "TIMEOUT", outcome = "unknown", attempts = 1 },
            client:call("Echo", { n = 1 }, { timeout = 0.3 }))
        for n = 2, 4 do
            local response = expect.success(client:call("Echo", { n = n }))
            assert.equal(n, response.params.n)
            process.sleep(0.15)
        end
        assert.equal(4, #box:requests())
    end)

    it("an unsafe call is lost when the server dies under it, and not sent again", function()
        local client = closing(new())
        client:connect()
        box:faults { { fault = "delay", seconds = 1, times = 1 } }
        kill_worker_in_mid_request()
        expect.failure({
            kind = "network", code = "CONNECTION_LOST", outcome = "unknown", attempts = 1,
        }, client:call("Echo"))
        assert.equal(1, #box:requests())
        expect.success(client:call("Echo"))
        assert.equal(2, #box:requests())
    end)

    it("a safe call is sent again then, as often as it says", function()
        local client = closing(new())
        client:connect()
        box:faults { { fault = "delay", seconds = 1, times = 1, act = false } }
        kill_worker_in_mid_request()
        local _, batches = expect.success(client:stop_instances(box:ids(1)))
        assert.equal(2, #box:requests())
        assert.equal(2, batches[1].attempts)
    end)

    it("batches under way then are told in attempts", function()
        local client = closing(new { max_concurrency = 4, max_attempts = 1 })
        client:connect()
        box:faults { { fault = "delay", seconds = 1, times = 4 } }
        kill_worker_in_mid_request()
        local ids = box:ids(600)
        local err = expect.failure({ code = "CONNECTION_LOST", outcome = "unknown" },
            client:stop_instances(ids, { on_error = "continue" }))
        expect.partition(ids, err.batches)
        local sent, seen = 0, {}
        for _, batch in ipairs(err.batches) do
            sent = sent + batch.attempts
        end
        local requests = box:requests()
        assert.is_true(#requests <= sent)
        for _, request in ipairs(requests) do
            local id = request.params.instanceIds[1]
            assert.is_nil(seen[id])
            seen[id] = true
        end
    end)

    describe("with a server that ends each connection after one request", function()
        local short

        setup(function()
            short = nginx.start(box.endpoint, "keepalive_requests 1;")
        end)
        teardown(function()
            short:stop()
        end)

        it("unsafe calls succeed, one connection each", function()
            local client = closing(new({ max_attempts = 1 }, short))
            for n = 1, 10 do
                local response = expect.success(client:call("Echo", { n = n }))
                assert.equal(n, response.params.n)
            end
            assert.equal(10, #box:requests())
            assert.equal(10, count_connections(short:log(10)))
        end)

        -- Each connection serves one of them, so three batches need three attempts at most. A
        -- stream that the server did not take counts as an attempt; it never gets to the sandbox.
        it("batches succeed, and reach the sandbox once each", function()
            local client = closing(new(nil, short))
            local ids = box:ids(300)
            local _, batches = expect.success(client:stop_instances(ids))
            expect.partition(ids, batches)
            local sent = 0
            for _, batch in ipairs(batches) do
                sent = sent + batch.attempts
            end
            local requests = box:requests()
            assert.equal(3, #requests)
            assert.is_true(sent >= 3)
            local seen = {}
            for _, request in ipairs(requests) do
                local id = request.params.instanceIds[1]
                assert.is_nil(seen[id])
                seen[id] = true
            end
        end)
    end)

    it("a connection that was closed while idle is replaced", function()
        local idle = nginx.start(box.endpoint, "keepalive_timeout 1s;")
        local client = closing(new({ max_attempts = 1 }, idle))
        local first, err = client:call("Echo")
        process.sleep(1.5)
        local second, err2 = client:call("Echo")
        local log = idle:log(2)
        idle:stop()
        expect.success(first, err)
        expect.success(second, err2)
        assert.equal(2, #box:requests())
        assert.equal(2, count_connections(log))
    end)
end)
