# Stands in for Resque, which Debian has not: it runs under rake and writes its title as resque/worker.rb does.
namespace :resque do
  task :work do
    $0 = "resque-2.7.0: #{ENV["TITLE"] || "Waiting for #{ENV["QUEUES"]}"}"
    sleep
  end
end
