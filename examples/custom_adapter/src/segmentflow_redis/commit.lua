-- Commits a transaction, or says that another one was first. Redis runs a script with
-- nothing in between, and logs what it wrote as one unit.
--
-- KEYS[1]               where Organizations wait with something to hand over
-- KEYS[2 .. checks + 1] what was read; ARGV[2 ..] is "=" and the value it had, or ""
-- the other keys        what is written, each with an operation and its argument
-- ARGV[1]               how many checks there are

local checks = tonumber(ARGV[1])
for i = 1, checks do
  local stored = redis.call('GET', KEYS[i + 1])
  if (stored and '=' .. stored or '') ~= ARGV[i + 1] then
    return 0
  end
end

local operations = {
  set = function(key, value)
    redis.call('SET', key, value)
  end,
  delete = function(key)
    redis.call('DEL', key)
  end,
  -- Instants are written in one length, so the later one is the greater text.
  raise = function(key, instant)
    local stored = redis.call('GET', key)
    if not stored or stored < instant then
      redis.call('SET', key, instant)
    end
  end,
  add = function(key, member)
    redis.call('ZADD', key, 0, member)
  end,
  remove = function(key, member)
    redis.call('ZREM', key, member)
  end,
  -- An Organization waits by the second in which its queue's first becomes available.
  wait = function(queue, organization)
    local first = redis.call('ZRANGE', queue, 0, 0)[1]
    if first then
      redis.call('ZADD', KEYS[1], tonumber(first:sub(1, 12)), organization)
    else
      redis.call('ZREM', KEYS[1], organization)
    end
  end,
}

local at = checks + 2
for i = checks + 2, #KEYS do
  operations[ARGV[at]](KEYS[i], ARGV[at + 1])
  at = at + 2
end
return 1
