-- How the specs compare messages of which some words are libcurl's, OpenSSL's or nginx's.
local messages = {}

-- The message is `expected`, in which * stands for anything; it is one line.
function messages.check(expected, message)
    assert(type(message) == "string", "no message")
    local pattern = expected:gsub("[%^%$%(%)%%%.%[%]%+%-%?]", "%%%0"):gsub("%*", ".*")
    if not message:find("^" .. pattern .. "$") then
        error(("%q\nis not\n%q"):format(message, expected), 2)
    elseif message:find "%c" then
        error(("%q is not one line"):format(message), 2)
    end
end

return messages
