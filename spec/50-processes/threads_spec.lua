-- Lua states in threads of their own. `make tsan` runs this file with the module under
-- ThreadSanitizer.
local sandbox = require "sandbox"
local threads = require "threads"

describe("threads", function()
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

    it("eight with a state each make 200 calls each, and each gets its own answers", function()
        local output = threads.run(box, 8, 1, [[
            local made = 0
            for round = 1, 20 do -- ten calls a round
                for n = 1, 4 do
                    echo(round * 10 + n)
                end
                local ids = {}
                for i = 1, 120 do
                    ids[i] = ("%d-%d-%d"):format(thread, round, i)
                end
                assert(#client:stop_instances(ids, { force_shutdown = false }) == 2)
                local statuses = client:describe_instances_status { ids[1] }
                assert(statuses[ids[1] ]:find "^STOP")
                local ok, err = pcall(client.call, client, "NoSuchAction")
                assert(not ok and zenlayer.is_error(err) and err.outcome == "rejected")
                local jobs = {}
                for n = 1, 3 do
                    jobs[n] = client:submit_call("Echo", { n = n, thread = thread })
                end
                while client:poll(0.1) > 0 do end
                for n = 1, 3 do
                    local response = jobs[n]:result()
                    assert(response.params.n == n and response.params.thread == thread)
                end
                made = made + 10
                collectgarbage "step"
            end
            client:close()
            return made
        ]])
        assert.is_truthy(output:find "^counted 1600\n$", output)
        local requests = 0
        local owner = {}
        for _, request in ipairs(box:requests()) do
            requests = requests + 1
            local whose = request.params and request.params.thread
            if whose then
                assert.equal(whose, owner[request.connection] or whose)
                owner[request.connection] = whose
            end
        end
        assert.equal(8 * 20 * 11, requests) -- 120 ids are two batches
    end)

    it("eight make and close states all the time, one with a call under way", function()
        assert.equal("counted 160\n", threads.run(box, 8, 20, [[
            echo(1)
            client:submit_call("Echo", { last = true })
            client:poll(0)
            return 1
        ]]))
    end)
end)
