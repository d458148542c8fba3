-- One client, used by many requests of a worker at once; and requests that are given up.
local process = require "process"
local remote = require "remote"
local sandbox = require "sandbox"

local STOP = "return client:stop_instances(...)"

describe("a client of many requests", function()
    local box, front

    setup(function()
        box = sandbox.start()
        front = remote.start(box, { server = "lua_check_client_abort on;" })
    end)
    teardown(function()
        front:stop()
        box:stop()
    end)
    before_each(function()
        box:faults {}
    end)

    -- How many connections the requests since the mark came over. (The clients of a worker share
    -- its pool, so some may have been there before.)
    local function connections()
        local seen, count = {}, 0
        for _, request in ipairs(box:requests()) do
            count = count + (seen[request.connection] and 0 or 1)
            seen[request.connection] = true
        end
        return count
    end

    local function begin(client, count, size)
        local under_way = {}
        for i = 1, count do
            under_way[i] = client:begin(STOP, box:ids(size or 1))
        end
        return under_way
    end

    local function finish(under_way)
        for _, request in ipairs(under_way) do
            local request_ids, err = request:result()
            assert(request_ids, tostring(err))
        end
    end

    it("keeps to max_concurrency, and all of them get their turn", function()
        local client = front:client { max_concurrency = 4 }
        box:faults { { fault = "delay", seconds = 0.05 } }
        finish(begin(client, 50))
        assert.equal(50, #box:requests())
        assert.equal(4, connections()) -- each carries one request at a time
    end)

    it("does so with operations of many batches", function()
        local client = front:client { max_concurrency = 3 }
        box:faults { { fault = "delay", seconds = 0.02 } }
        finish(begin(client, 6, 450))
        assert.equal(30, #box:requests())
        assert.equal(3, connections())
    end)

    it("pauses as a whole after a 429", function()
        local client = front:client { max_concurrency = 2 }
        box:faults {
            { fault = "rate_limit", retry_after = 1, requests = { 1 } },
            { fault = "delay", seconds = 0.1 },
        }
        finish(begin(client, 8))
        local requests = box:requests()
        assert.equal(9, #requests)
        local refused, before = nil, 0
        for _, request in ipairs(requests) do
            refused = request.status == 429 and request or refused
        end
        for _, request in ipairs(requests) do
            before = before + (request.time - refused.time < 1 and 1 or 0)
        end
        assert.is_true(before <= 2) -- itself, and one that was on its way
    end)

    it("loses no place to requests that are given up", function()
        local client = front:client { max_concurrency = 2 }
        box:faults { { fault = "delay", seconds = 0.5, times = 2 } }
        local given_up = begin(client, 6) -- two in flight, four that wait
        box:await_requests(2)
        local others = begin(client, 6)
        for i = 2, 6 do
            given_up[i]:abort()
        end
        finish { given_up[1] }
        finish(others)
        finish(begin(client, 4))
    end)

    it("gives a place back that an aborted request held, and never its answer", function()
        local client = front:client { max_concurrency = 1, timeout = 0.5 }
        box:faults { { fault = "stall", seconds = 20, times = 1 } }
        local stalled = client:begin "return client:call 'DescribeStalled'"
        box:await_requests(1)
        stalled:abort()
        local response, err = client:call("Echo", { n = 7 })
        assert.equal(7, response and response.params.n, tostring(err))
        assert.equal(2, connections())
    end)

    it("ends what is under way when it is closed", function()
        local client = front:client { max_concurrency = 2 }
        box:faults { { fault = "delay", seconds = 20 } }
        local began = process.now()
        local under_way = { client:begin(STOP, box:ids(450)), client:begin(STOP, box:ids(250)) }
        box:await_requests(2)
        client:run "client:close()"
        for _, request in ipairs(under_way) do
            local response, err = request:result()
            remote.failure({ code = "CANCELLED", kind = "cancelled" }, response, err)
            for _, batch in ipairs(err.batches) do
                assert.is_true(batch.outcome == "not_sent" or batch.outcome == "unknown")
            end
        end
        assert.is_true(process.now() - began < 10 * process.slowness)
        assert.equal(2, #box:requests())
        local response, err = client:call "Echo"
        remote.failure({ code = "CLIENT_CLOSED" }, response, err)
    end)

    it("may be closed by its own on_progress", function()
        local client = front:client()
        local response, err = client:run([[
            return client:wait_until_stopped({ ... }, {
                wait_min_delay = 0.05, wait_max_delay = 0.05,
                on_progress = function() client:close() end,
            })
        ]], box:ids(1)[1])
        remote.failure({ code = "CANCELLED" }, response, err)
    end)

    it("opens one connection for a hundred calls, one after another", function()
        local client = front:client()
        assert.is_true(client:run [[
            for i = 1, 100 do
                assert(client:call("Echo", { i = i }).params.i == i)
            end
            return true
        ]])
        assert.equal(100, #box:requests())
        assert.equal(1, connections())
    end)

    it("uses no more light threads for it than it needs", function()
        -- nginx keeps a record of every light thread that a request had.
        local client = front:client()
        assert.equal(0, client:run [[
            local spawned, spawn = 0, ngx.thread.spawn
            ngx.thread.spawn = function(...)
                spawned = spawned + 1
                return spawn(...)
            end
            for i = 1, 20 do
                assert(client:call("Echo", { i = i }))
            end
            ngx.thread.spawn = spawn
            return spawned
        ]])
    end)
end)
