# Pushes the jobs that the arguments name (queue:what[:retries[:seconds from now]]) and prints Sidekiq's own numbers as JSON.

require_relative "sidekiq_app"
require "sidekiq/api"

ARGV.each do |word|
  queue, what, retries, later = word.split(":")
  job = {"class" => Job, "queue" => queue, "args" => [what], "retry" => retries.to_i}
  job["at"] = Time.now.to_f + later.to_f if later
  Sidekiq::Client.push(job)
end

stats = Sidekiq::Stats.new
processes = Sidekiq::ProcessSet.new(false).to_a
puts JSON.generate(
  queues: Sidekiq::Queue.all.to_h { |queue| [queue.name, queue.size] },
  latencies: Sidekiq::Queue.all.to_h { |queue| [queue.name, queue.latency] },
  scheduled: Sidekiq::ScheduledSet.new.size,
  retry: Sidekiq::RetrySet.new.size,
  dead: Sidekiq::DeadSet.new.size,
  processed: stats.processed,
  failed: stats.failed,
  running: Sidekiq::Workers.new.map { |_, _, work| work["queue"] }.tally,
  processes: processes.map { |process| {queues: process["queues"], busy: process["busy"]} },
)
