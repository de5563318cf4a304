# The application of the Sidekiq tests: its jobs, and shorter pauses than a real one's, which tell the same story sooner.

require "sidekiq"

Sidekiq.configure_server do
  Sidekiq::Launcher.send(:remove_const, :BEAT_PAUSE)
  Sidekiq::Launcher.const_set(:BEAT_PAUSE, 0.2)
end

class Job
  include Sidekiq::Worker

  def perform(what)
    case what
    when "hold" then Sidekiq.redis { |redis| redis.blpop("let-go", timeout: 60) }
    when "fail" then raise "as told"
    end
  end
end
