# A Sidekiq application whose workers have nothing to do.
require "sidekiq"
