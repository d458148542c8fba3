-- Servers that do with HTTP/2 what they like: each call is sent once, what is told of it is true,
-- and the next one is well.
local certificates = require "certificates"
local closing = require "every_lua".closing
local expect = require "expect"
local process = require "process"
local sandbox = require "sandbox"
local server = require "server"

local SHORT = 0.5 * process.slowness

local LOST = { kind = "network", code = "CONNECTION_LOST", outcome = "unknown" }
local ACCEPTED = {}

-- What comes of each action of http2.py.
local COMES = {
    Good = ACCEPTED,
    -- a stream that ends
    Refuse = LOST,
    ResetInternal = LOST,
    ResetCancel = LOST,
    ResetNoError = LOST,
    ResetHttp11 = LOST,
    HalfReset = LOST,
    HalfResetNoError = LOST,
    HalfRefuse = LOST,
    AnswerReset = ACCEPTED,
    -- a connection that ends
    GoawayAnswered = ACCEPTED,
    GoawayRefused = LOST,
    GoawayTaken = LOST,
    GoawayCalm = LOST,
    HalfGoaway = LOST,
    Leave = LOST,
    HalfLeave = LOST,
    NoHttp2 = LOST,
    -- silence
    Silent = { kind = "timeout", code = "TIMEOUT", outcome = "unknown" },
    HalfSilent = { kind = "timeout", code = "TIMEOUT", outcome = "unknown" },
    -- more than the answer, or less
    Trailers = ACCEPTED,
    RefusalTrailers = {
        kind = "api", code = "NO", outcome = "rejected", http_status = 403,
        retry_after = expect.ABSENT,
    },
    SettingsBetween = ACCEPTED,
    UnknownFrames = ACCEPTED,
    Interim = ACCEPTED,
    TwoAnswers = ACCEPTED,
    AnotherAnswer = LOST,
    Push = LOST,
    Longer = LOST,
    Shorter = LOST,
    StreamZero = LOST,
    FrameTooLarge = { outcome = "unknown" },
    Redirect = { kind = "protocol", code = "UNEXPECTED_STATUS", outcome = "rejected" },
    -- no end
    InterimForEver = { kind = "protocol", code = "RESPONSE_TOO_LARGE", outcome = "unknown" },
    LargeBody = { kind = "protocol", code = "RESPONSE_TOO_LARGE", outcome = "unknown" },
    HeaderForEver = { outcome = "unknown" },
    PingsForEver = LOST,
    SettingsForEver = LOST,
    -- before the body has come
    EarlyRefuse = LOST,
    EarlyGoaway = LOST,
    EarlyLeave = LOST,
}

describe("a server of HTTP/2", function()
    local directory, far

    setup(function()
        directory = process.temporary_directory()
        certificates.make(directory)
    end)
    teardown(function()
        process.remove(directory)
    end)

    local function start(options)
        options = options or {}
        options.cert, options.key = directory .. "/server.pem", directory .. "/server-key.pem"
        far = server.run({ "python3", "-B", "spec/support/http2.py" }, options)
    end

    after_each(function()
        far:stop()
    end)

    local function new(options)
        local box = setmetatable({
            endpoint = "https://127.0.0.1:" .. far.port, ca_file = directory .. "/ca.pem",
        }, sandbox)
        return closing(box:client(options))
    end

    -- One that knows the server's settings.
    local function new_used(options)
        local client = new(options)
        expect.success(client:call("Before", { n = 0 }))
        return client
    end

    -- How often each n came, of this action.
    local function count(action)
        local times = {}
        for _, line in ipairs(far:events "request") do
            if line.action == action then
                times[line.n] = (times[line.n] or 0) + 1
            end
        end
        return times
    end

    for action, expected in pairs(COMES) do
        it("that does this: " .. action, function()
            start()
            for _, is_reused in ipairs { false, true } do
                local client = (is_reused and new_used or new) {
                    max_attempts = 1, max_response_bytes = 100000,
                }
                local n = is_reused and 2 or 1
                local began = process.now()
                local response, err = client:call(action, { n = n }, { timeout = SHORT })
                assert.is_true(process.now() - began < 10 * process.slowness)
                if expected == ACCEPTED then
                    expect.success(response, err)
                    assert.equal(n, response.n)
                    assert.equal("T" .. n, err)
                else
                    expected.attempts = 1
                    expect.failure(expected, response, err)
                end
                local after, problem = client:call("After", { n = 10 + n })
                assert.equal(10 + n, expect.success(after, problem).n)
                client:close()
            end
            for _, times in pairs(count(action)) do
                assert.equal(1, times)
            end
            assert.same({ [11] = 1, [12] = 1 }, count "After")
        end)
    end

    it("that refuses a stream is asked again where that is safe, and counted", function()
        start()
        local client = new { max_attempts = 3 }
        local err = expect.failure({ code = "CONNECTION_LOST", attempts = 3 },
            client:call("Refuse", { n = 1 }, { idempotent = true }))
        assert.is_true(err.retryable)
        assert.same({ [1] = 3 }, count "Refuse")
    end)

    it("that takes one stream at a time", function()
        start { settings = { MAX_CONCURRENT_STREAMS = 1 } }
        local client = new_used { max_attempts = 1 }
        local jobs = {}
        for n = 1, 8 do
            jobs[n] = client:submit_call("Good", { n = n })
        end
        for n, job in ipairs(jobs) do
            assert.is_true(job:wait(20 * process.slowness))
            assert.equal(n, expect.success(job:result()).n)
        end
        assert.same({ 1, 1, 1, 1, 1, 1, 1, 1 }, count "Good")
    end)

    it("that takes small frames and small windows", function()
        start { settings = { INITIAL_WINDOW_SIZE = 100, MAX_FRAME_SIZE = 16384 } }
        local client = new_used { max_attempts = 1 }
        for n = 1, 3 do
            local response = expect.success(client:call("Good", { n = n, more = ("x"):rep(5000) }))
            assert.equal(n, response.n)
        end
    end)

    it("that never takes the end of a request", function()
        start { settings = { INITIAL_WINDOW_SIZE = 20 }, narrow = true }
        local client = new_used { max_attempts = 1, timeout = SHORT }
        expect.failure({ kind = "timeout", code = "TIMEOUT", outcome = "unknown", attempts = 1 },
            client:call("Good", { n = 1, more = ("x"):rep(100) }))
        assert.equal(2, expect.success(client:call("Good", { n = 2 })).n)
        assert.same({ [2] = 1 }, count "Good")
    end)

    it("that ends one of many streams ends that one alone", function()
        start()
        local client = new_used { max_attempts = 1 }
        local jobs, actions = {}, { "Good", "ResetCancel", "HalfReset", "AnswerReset", "Trailers" }
        for n = 1, 20 do
            jobs[n] = client:submit_call(actions[n % 5 + 1], { n = n }, { idempotent = n > 10 })
        end
        for n, job in ipairs(jobs) do
            assert.is_true(job:wait(20 * process.slowness))
            local response, err = job:result()
            if COMES[actions[n % 5 + 1]] == ACCEPTED then
                assert.equal(n, expect.success(response, err).n)
            else
                expect.failure({ code = "CONNECTION_LOST", outcome = "unknown" }, response, err)
            end
        end
    end)
end)
