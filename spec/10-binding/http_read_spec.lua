-- resty.zenlayer.http: how the bytes of answers are read, without nginx and its sockets.
local http = require "resty.zenlayer.http"

local HEAD_MAX = 64 * 1024

-- What is read of a text that comes in pieces which end at these places, and at its end.
local function read(text, cuts, most)
    local at, turn = 0, 0
    return http.read(function()
        turn = turn + 1
        local from, to = at + 1, cuts[turn] or #text
        at = to
        if from > #text then
            return nil, "closed"
        end
        return text:sub(from, to)
    end, most or 100)
end

-- An answer with a head of so many bytes; `chunked`: the line of its chunk is one of them.
local function answer(len, chunked)
    local head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
    local tail = "\r\n"
    if chunked then
        head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;"
        tail = ""
    else
        head = head .. "X: "
    end
    head = head .. ("x"):rep(len - #head - #tail - 2) .. "\r\n" .. tail
    assert.equal(len, #head)
    return head .. (chunked and "{}\r\n0\r\n\r\n" or "{}")
end

describe("the bound for heads does not depend on the pieces in which they come", function()
    -- The two lines after a chunk's data are counted, too.
    for name, case in pairs { ["a head"] = { false, 0 }, ["a line of a chunk"] = { true, 5 } } do
        it(name, function()
            local chunked, more = case[1], case[2]
            for over = -1, 2 do
                local len = HEAD_MAX - more + over
                local text = answer(len, chunked)
                for _, cuts in ipairs {
                    {}, { len }, { len - 1 }, { len - 2 }, { len - 3 }, { len - 4 },
                    { len - 3, len - 2, len - 1, len },
                } do
                    local read_as, code = read(text, cuts)
                    if over > 0 then
                        assert.equal("RESPONSE_TOO_LARGE", code)
                    else
                        assert.equal("{}", (read_as or {}).body, code)
                        assert.is_true(read_as.reusable)
                    end
                end
            end
        end)
    end
end)
