"""How a daemon serves: one thread waits for what is quiet, workers serve what is used.

::

    engine       ties all of this together: the thread that waits, and what a worker does
    listener     lets callers arrive            poller      which of them have something to say
    workers      the threads that serve         coroutines  where ``async def`` methods run

    connection   one caller: what it may do, what is read from it, its end
      outbox       what is to be sent to it
        parking      whether a worker or the poller has it

    reception    its first message: is it let in?
    plain        its calls, the straight way: plain, small values, which are nearly all
    calls        its calls, the long way: everything else
      batch        many calls in one message
      answers      what goes back
"""
