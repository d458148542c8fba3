-- The events of a client, for a spec: what came, of which kind, and what is true of any of them.
--
--   local seen = events.new()
--   local client = box:client { on_event = seen.note }
--   seen:names()              -- { "attempt_started", "connection_opened", … }
--   seen:of "answered"        -- those of one kind
--   seen:agrees(requests, batches)
local events = {}
events.__index = events

-- By kind: the fields that it always has besides event and time, and those that it may have.
local CALL = "action operation call attempt "
events.FIELDS = {
    attempt_started = { CALL, "instances" },
    answered = { CALL .. "http_status duration", "instances code request_id" },
    failed = { CALL .. "code outcome duration", "instances" },
    retried = { CALL .. "code delay", "instances" },
    paused = { "operation code delay", "" },
    clock_corrected = { "operation offset", "" },
    credentials_renewed = { "", "code" },
    connection_opened = { "address duration", "" },
    batch_settled = {
        "action operation outcome", "call attempts instances request_id code duration",
    },
}

local NUMBERS = {
    time = true, operation = true, call = true, attempt = true, attempts = true, instances = true,
    http_status = true, duration = true, delay = true, offset = true,
}

local function words(text)
    local set = {}
    for word in text:gmatch "%S+" do
        set[word] = true
    end
    return set
end

-- Complains about an event that is not as it must be.
function events.check(event)
    local fields = assert(events.FIELDS[event.event], event.event)
    local always, sometimes = words(fields[1]), words(fields[2])
    for name in pairs(always) do
        assert(event[name] ~= nil, event.event .. " without " .. name)
    end
    for name, value in pairs(event) do
        assert(name == "event" or name == "time" or always[name] or sometimes[name],
            event.event .. " with " .. name)
        assert(type(value) == (NUMBERS[name] and "number" or "string"), name)
        assert(name == "offset" or not NUMBERS[name] or value >= 0, name)
    end
    assert(math.abs(event.time - os.time()) < 600, "no UNIX time")
end

function events.new()
    local self = setmetatable({}, events)
    self.note = function(event)
        self[#self + 1] = event
    end
    return self
end

function events:of(kind)
    local found = {}
    for _, event in ipairs(self) do
        if event.event == kind then
            found[#found + 1] = event
        end
    end
    return found
end

function events:names()
    local names = {}
    for i, event in ipairs(self) do
        names[i] = event.event
    end
    return names
end

-- Each event is well made, and what they say of one operation is what the server saw and what its
-- result or error says: every request, every batch, every id.
function events:agrees(requests, batches)
    local last = 0
    for _, event in ipairs(self) do
        events.check(event)
        assert(event.time >= last - 0.002, "out of order")
        last = event.time
    end
    local started, ended = self:of "attempt_started", #self:of "answered" + #self:of "failed"
    assert(#started >= #requests, #started .. " attempts, " .. #requests .. " requests")
    assert(ended == #started, ended .. " ends of " .. #started .. " attempts")
    local counts = {}
    for _, event in ipairs(self:of "batch_settled") do
        local key = ("%s %d %d"):format(event.outcome, event.attempts or 0, event.instances)
        counts[key] = (counts[key] or 0) + 1
    end
    for _, batch in ipairs(batches) do
        local key = ("%s %d %d"):format(batch.outcome, batch.attempts, #batch.instance_ids)
        counts[key] = (counts[key] or 0) - 1
    end
    for key, count in pairs(counts) do
        assert(count == 0, count .. " too many: " .. key)
    end
end

return events
