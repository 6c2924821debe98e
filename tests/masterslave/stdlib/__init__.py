"""Is ``Farm`` an executor like the standard library's? CPython's own tests are the measure.

Here they are written anew, from what they state, so that they run with every Python; their names
stand in the comments. ``test_cpython`` runs the originals where the interpreter ships them.

What a farm does differently, on purpose, is tested as what it does:

=================================================  ===============================================
CPython's test                                     a farm
=================================================  ===============================================
test_killed_child, test_crash_*, test_exit_at_*    loses the task only (``TaskLost``), after three
                                                   attempts, and goes on: it is not broken
test_exit_during_*: SystemExit in the script       ``TaskFailed``: a task does not end the script
test_error_at_task_pickle: PicklingError           ``NotPicklable``, naming function and argument
test_error_during_result_*: PicklingError,         ``NotPicklable``, naming function and slave
BrokenProcessPool
test_cancel: False for what runs                   stops what runs, and is True
test_max_workers_*                                 has slaves, not workers: ``local_slaves=``
test_idle_process_reuse_*                          starts its slaves at once, for others join too
=================================================  ===============================================

What cannot apply, because it looks into ``ProcessPoolExecutor``: test_processes_terminate by its
``_processes``, test_saturation by the same, test_max_tasks_per_child_defaults_to_spawn_context,
test_python_finalization_error and test_gh105829 (its threads patched), test_thread_names_*,
FailingInitializerResourcesTest (multiprocessing's resource tracker). What these state is tested by
what can be seen from outside.
"""
