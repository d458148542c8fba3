-- Nothing stays open: the descriptors of a client that was closed.
local closing = require "every_lua".closing
local expect = require "expect"
local lfs = require "lfs"
local process = require "process"
local sandbox = require "sandbox"

-- The descriptors of this process that are sockets, or no files at all (epoll, eventfd).
local function open_descriptors()
    local found = {}
    for name in lfs.dir "/proc/self/fd" do
        local target = lfs.symlinkattributes("/proc/self/fd/" .. name, "target")
        if target and (target:find "^socket:" or target:find "^anon_inode:") then
            found[#found + 1] = name .. " " .. target
        end
    end
    table.sort(found)
    return found
end

describe("after close()", function()
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

    local function leaves_nothing(use, options)
        collectgarbage()
        local before = open_descriptors()
        local client = box:client(options)
        use(client)
        client:close()
        assert.same(before, open_descriptors())
        client:close() -- once more does no harm
    end

    it("no socket of an idle client is open", function()
        leaves_nothing(function() end)
    end)

    it("no kept connection is open", function()
        leaves_nothing(function(client)
            client:connect()
            assert.is_true(#open_descriptors() > 0)
            expect.success(client:call("Echo"))
        end)
    end)

    it("none of many is open", function()
        box:faults { { fault = "delay", seconds = 0.03 } }
        leaves_nothing(function(client)
            expect.success(client:stop_instances(box:ids(1600)))
        end, { max_concurrency = 8 })
    end)

    it("none is open after failures of all kinds", function()
        for _, rule in ipairs {
            { fault = "reset_before" }, { fault = "close_after" }, { fault = "not_json" },
            { fault = "stall", seconds = 60 }, { fault = "huge_body", bytes = 100000 },
            { fault = "stray", bytes = "x" }, { fault = "truncate", bytes = 100 },
        } do
            box:faults { rule }
            leaves_nothing(function(client)
                client:connect()
                client:call("Echo")
                client:stop_instances(box:ids(300))
            end, { max_attempts = 2, timeout = 0.2 * process.slowness, max_response_bytes = 50000 })
        end
    end)

    it("none is open after trust failed", function()
        leaves_nothing(function(client)
            expect.failure({ code = "TLS_VERIFY_FAILED" }, client:call("Echo"))
        end, { ca_file = false })
    end)

    it("a client that was forgotten leaves nothing open either", function()
        collectgarbage()
        local before = open_descriptors()
        do
            local client = box:client()
            expect.success(client:call("Echo"))
        end
        collectgarbage()
        collectgarbage()
        assert.same(before, open_descriptors())
    end)

    it("a hundred calls leave no more open than one", function()
        local client = closing(box:client { max_attempts = 1 })
        expect.success(client:call("Echo"))
        local before = #open_descriptors()
        for i = 1, 50 do
            box:faults { { fault = i % 2 == 0 and "reset_before" or "connection_close" } }
            client:call("Echo")
        end
        assert.is_true(#open_descriptors() <= before)
    end)

    it("the connection is over for the server, too", function()
        local client = box:client()
        expect.success(client:call("Echo"))
        client:close()
        process.await(function()
            local closed = 0
            for _, line in ipairs(box:journal()) do
                closed = closed + (line.event == "connection_closed" and 1 or 0)
            end
            return closed >= 1
        end, "the connection's end")
        expect.failure({ kind = "argument", code = "CLIENT_CLOSED", outcome = "not_sent" },
            client:call("Echo"))
        assert.equal(1, #box:requests())
    end)
end)
