-- Counters and a histogram of a client's calls, in Prometheus's text format.
--
--     lua5.4 examples/metrics.lua INSTANCE_ID …
--
-- shuts the instances down and prints the metrics. A script hands them over by a file (the text
-- file collector of node_exporter), a server answers /metrics with them. For a program of your own
-- take `new_metrics` along. ZENLAYER_ENDPOINT and ZENLAYER_CA_FILE may name another place than the
-- real API.
local zenlayer = require "zenlayer"

-- By event: the counter's name, what it is, and the fields that become labels.
local COUNTERS = {
    attempt_started = { "attempts", "Requests sent, or tried.", "action" },
    answered = { "answers", "Answers.", "action", "http_status" },
    failed = { "failures", "Attempts without an answer.", "action", "code" },
    retried = { "retries", "Calls to be sent again, by why.", "action", "code" },
    paused = { "pauses", "Pauses after a rate limit." },
    clock_corrected = { "clock_corrections", "Times that this machine's clock was found wrong." },
    credentials_renewed = { "renewals", "Calls of the credentials function.", "code" },
    connection_opened = { "connections", "Connections opened." },
    batch_settled = { "batches", "Batches and calls, by outcome.", "action", "outcome" },
}
local BUCKETS = { 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, math.huge }

local function label(name, value)
    if type(value) == "string" then
        value = value:gsub('[\\"\n]', { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n" })
    end
    return ('%s="%s"'):format(name, value)
end

-- { on_event = for zenlayer.new, text = a function that returns the metrics }
local function new_metrics()
    local families, values = {}, {} -- in the order in which they came up

    local function add(family, kind, help, name, labels, value)
        local sample = #labels > 0 and ("%s{%s}"):format(name, table.concat(labels, ",")) or name
        if not families[family] then
            families[#families + 1] = family
            families[family] = { ("# HELP %s %s\n# TYPE %s %s"):format(family, help, family, kind) }
        end
        if not values[sample] then
            table.insert(families[family], sample)
        end
        values[sample] = (values[sample] or 0) + value
    end

    local function observe(action, seconds)
        local family, help = "zenlayer_answer_seconds", "How long answers took."
        local function put(suffix, value, le)
            add(family, "histogram", help, family .. suffix, { label("action", action), le }, value)
        end
        for _, bucket in ipairs(BUCKETS) do
            local le = bucket == math.huge and "+Inf" or ("%g"):format(bucket)
            put("_bucket", seconds <= bucket and 1 or 0, label("le", le))
        end
        put("_sum", seconds)
        put("_count", 1)
    end

    local function on_event(event)
        local counter = COUNTERS[event.event]
        if counter then
            local name, labels = "zenlayer_" .. counter[1] .. "_total", {}
            for i = 3, #counter do
                labels[#labels + 1] = label(counter[i], event[counter[i]] or "")
            end
            add(name, "counter", counter[2], name, labels, 1)
        end
        if event.event == "answered" then
            observe(event.action, event.duration)
        end
    end

    local function text()
        local lines = {}
        for _, family in ipairs(families) do
            for i, sample in ipairs(families[family]) do
                lines[#lines + 1] = i == 1 and sample or ("%s %.14g"):format(sample, values[sample])
            end
        end
        return table.concat(lines, "\n") .. "\n"
    end

    return { on_event = on_event, text = text }
end

local metrics = new_metrics()
local client = zenlayer.new {
    endpoint = os.getenv "ZENLAYER_ENDPOINT",
    ca_file = os.getenv "ZENLAYER_CA_FILE",
    on_event = metrics.on_event,
}
local ok, err = pcall(client.stop_instances, client, { ... }, { force_shutdown = false })
client:close()
io.write(metrics.text())
if not ok then
    io.stderr:write(tostring(err), "\n")
    os.exit(1)
end
