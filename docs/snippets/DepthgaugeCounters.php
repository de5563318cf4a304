<?php

// Counts the jobs of Laravel's Redis queues for Depthgauge (docs/counters.md), from Laravel 8 on, with or without Horizon.
// Put it into app/Providers and add App\Providers\DepthgaugeCounters::class to the application's providers.

namespace App\Providers;

use Illuminate\Contracts\Queue\Job;
use Illuminate\Queue\Events\JobExceptionOccurred;
use Illuminate\Queue\Events\JobFailed;
use Illuminate\Queue\Events\JobProcessed;
use Illuminate\Queue\Events\JobProcessing;
use Illuminate\Support\Facades\Event;
use Illuminate\Support\Facades\Log;
use Illuminate\Support\Facades\Redis;
use Illuminate\Support\ServiceProvider;
use RuntimeException;
use Throwable;

class DepthgaugeCounters extends ServiceProvider
{
    /** Attempts under way: when each began, in nanoseconds. */
    private array $began = [];

    private int $toldAt = 0;

    public function boot()
    {
        Event::listen(JobProcessing::class, function ($event) {
            $this->began[spl_object_id($event->job)] = hrtime(true);
        });
        Event::listen(JobProcessed::class, function ($event) {
            // A job that has put itself back, or has said that it failed, comes here too.
            $this->ended($event, $event->job->hasFailed() ? 'failed' : ($event->job->isReleased() ? null : 'completed'));
        });
        Event::listen(JobFailed::class, function ($event) {
            $this->ended($event, 'failed');
        });
        // For an attempt that is tried again; one that was the last has told that it failed before.
        Event::listen(JobExceptionOccurred::class, function ($event) {
            $this->ended($event, null);
        });
    }

    private function ended($event, ?string $how)
    {
        $attempt = spl_object_id($event->job);
        $began = $this->began[$attempt] ?? null;
        unset($this->began[$attempt]);
        if ($began === null || $how === null || config("queue.connections.{$event->connectionName}.driver") !== 'redis') {
            return;
        }
        $milliseconds = intdiv(hrtime(true) - $began, 1000000);
        try {
            $this->count($event->connectionName, $event->job, $how, $milliseconds);
        } catch (Throwable $e) {
            // The job's own fate is not to hang on its being counted.
            if (time() - $this->toldAt >= 60) {
                $this->toldAt = time();
                Log::warning('Depthgauge cannot count jobs: '.$e->getMessage());
            }
        }
    }

    private function count(string $connection, Job $job, string $how, int $milliseconds)
    {
        $key = 'depthgauge:jobs:'.preg_replace('/^\{(.*)\}$/', '$1', $job->getQueue());
        $redis = Redis::connection(config("queue.connections.{$connection}.connection") ?: 'default');
        $done = $redis->transaction(function ($transaction) use ($key, $how, $milliseconds) {
            $transaction->hincrby($key, 'completed', $how === 'completed' ? 1 : 0);
            $transaction->hincrby($key, 'failed', $how === 'failed' ? 1 : 0);
            $transaction->hincrby($key, 'runtime_ms', $milliseconds);
        });
        if ($done === false || in_array(false, $done, true)) {
            throw new RuntimeException("{$key} does not take numbers");
        }
    }
}
