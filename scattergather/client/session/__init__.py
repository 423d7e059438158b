"""One controller as this process knows it.

``session``       joins the parts, and hears the pipe
``life``          whether requests are served, and how the controller ends
``known``         what is known of hosts and jobs
``inbox``         what comes from the controller, and to whom it goes
``receiver``      who receives what comes of a job
``questions``     numbered calls, which wait for an answer
``pushed``        the code in every worker's ``__main__``
``interrupting``  what the user is told of a wait: interrupted, or in vain
"""
