// Stop: the signals that ask a job to end in good order: USR1, TERM and INT.
//
// The handler only notes the signal; whoever computes asks stop_requested() where it can stop. Launchers may deliver the
// same wish twice, so a second signal within a second of the first means nothing; a later one has its default action,
// which ends the process at once.
#pragma once

namespace riverrun {

// What a signal does before there is anything to lose: ends the process at once with ExitCode::stopped.
void exit_on_stop_signals();
// From now on a signal is a request. Error when the system refuses.
void note_stop_signals(int same_wish_milliseconds = 1000);

bool stop_requested();
// While the input is read, before anything is computed: throws Error with ExitCode::stopped once a stop is requested.
void end_reading_if_stopped();
// Its name, as in "USR1"; null before any.
const char* stop_signal_name();

}  // namespace riverrun
