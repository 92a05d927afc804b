# What Django and Werkzeug (Flask) read of the query on each line of the input.
import json
import sys

from django.conf import settings
from django.http import QueryDict
from werkzeug.datastructures import MultiDict
from werkzeug.urls import url_decode

settings.configure()
for query in sys.stdin.read().splitlines():
    print(json.dumps([query, 'Django', QueryDict(query).get('owner')]))
    print(json.dumps([query, 'Werkzeug', url_decode(query, cls=MultiDict).get('owner')]))
