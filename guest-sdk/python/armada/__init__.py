from .contexts import Agent, Job, Message
from .errors import *
