-- examples/metrics.lua and examples/log_json.lua, run against the sandbox.
local cjson = require "cjson"
local events = require "events"
local process = require "process"
local sandbox = require "sandbox"

describe("the example", function()
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

    local function run(name, ...)
        return process.run_lua(process.read("examples/" .. name), {
            ZENLAYER_ENDPOINT = box.endpoint, ZENLAYER_CA_FILE = box.ca_file,
            ZENLAYER_ACCESS_KEY_ID = box.KEY_ID, ZENLAYER_ACCESS_KEY_SECRET = box.PASSWORD,
            https_proxy = false, HTTPS_PROXY = false, all_proxy = false, ALL_PROXY = false,
        }, ...)
    end

    it("log_json.lua writes a line for each event, and the request ids", function()
        box:faults { { fault = "rate_limit", times = 1 } }
        local output, status = run("log_json.lua", table.unpack(box:ids(2)))
        assert.equal(0, status, output)
        local names, requests = {}, box:requests()
        for line in output:gmatch "{[^\n]*}" do
            local event = cjson.decode(line)
            local day, clock = event.time:match "^(%d+%-%d%d%-%d%d)T(%d%d:%d%d:%d%d)%.%d%d%dZ$"
            assert.is_truthy(day and clock, event.time)
            event.time = os.time()
            events.check(event)
            names[#names + 1] = event.event
        end
        assert.same({ "attempt_started", "connection_opened", "answered", "paused", "retried",
            "attempt_started", "answered", "batch_settled" }, names)
        assert.is_truthy(output:find("\n" .. requests[#requests].request_id .. "\n", 1, true)
            or output:find("^" .. requests[#requests].request_id .. "\n"))
    end)

    it("log_json.lua ends with the error", function()
        local output, status = run("log_json.lua", "missing-1")
        assert.equal(1, status)
        assert.is_truthy(output:find("\nzenlayer: INVALID_INSTANCE_NOT_FOUND: ", 1, true), output)
    end)

    -- { [sample] = value } of the text format, whose rules are minded: families in one piece, each
    -- with its help and type before its samples.
    local function parse(text)
        local samples, seen, family, buckets = {}, {}, nil, {}
        for line in text:gmatch "([^\n]*)\n" do
            local of = line:match "^# HELP ([%w_]+) %S"
            local typed, kind = line:match "^# TYPE ([%w_]+) (%l+)$"
            if of then
                assert.is_nil(seen[of], of)
                family, seen[of] = of, true
            elseif typed then
                assert.equal(family, typed)
                assert.is_truthy(kind == "counter" or kind == "histogram")
            else
                local sample, value = line:match "^([%w_]+%b{}) ([%d.e+-]+)$"
                if not sample then
                    sample, value = line:match "^([%w_]+) ([%d.e+-]+)$"
                end
                assert(sample, line)
                assert.equal(family, sample:sub(1, #family))
                assert.is_nil(samples[sample], sample)
                samples[sample] = tonumber(value)
                local le = sample:match 'le="([^"]*)"'
                if le then
                    buckets[#buckets + 1] = { le == "+Inf" and math.huge or tonumber(le),
                        samples[sample] }
                end
            end
        end
        for i = 2, #buckets do
            assert.is_true(buckets[i][1] > buckets[i - 1][1])
            assert.is_true(buckets[i][2] >= buckets[i - 1][2])
        end
        return samples
    end

    it("metrics.lua counts", function()
        box:faults { { fault = "reset_before", times = 1 } }
        local output, status = run("metrics.lua", table.unpack(box:ids(150)))
        assert.equal(0, status, output)
        local samples = parse(output)
        assert.equal(#box:requests(), samples['zenlayer_attempts_total{action="StopInstances"}'])
        assert.equal(1, samples['zenlayer_failures_total{action="StopInstances",'
            .. 'code="CONNECTION_LOST"}'])
        assert.equal(1, samples['zenlayer_retries_total{action="StopInstances",'
            .. 'code="CONNECTION_LOST"}'])
        assert.equal(2, samples['zenlayer_answers_total{action="StopInstances",'
            .. 'http_status="200"}'])
        assert.equal(2, samples['zenlayer_batches_total{action="StopInstances",'
            .. 'outcome="accepted"}'])
        assert.equal(2, samples['zenlayer_answer_seconds_count{action="StopInstances"}'])
        assert.equal(2, samples['zenlayer_answer_seconds_bucket{action="StopInstances",'
            .. 'le="+Inf"}'])
        assert.is_true(samples["zenlayer_connections_total"] >= 2)
    end)

    it("metrics.lua counts a clock that was wrong", function()
        box:faults { { fault = "clock", offset = 3600 } }
        local output, status = run("metrics.lua", table.unpack(box:ids(1)))
        assert.equal(0, status, output)
        assert.equal(1, parse(output)["zenlayer_clock_corrections_total"])
    end)

    it("metrics.lua prints them after a failure, too", function()
        local output, status = run("metrics.lua", "missing-1")
        assert.equal(1, status)
        local text = output:gsub("zenlayer: INVALID_INSTANCE_NOT_FOUND: [^\n]*\n", "")
        assert.not_equal(output, text)
        assert.equal(1, parse(text)['zenlayer_batches_total{action="StopInstances",'
            .. 'outcome="rejected"}'])
    end)
end)
