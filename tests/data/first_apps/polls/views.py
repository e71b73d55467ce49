from django.db.models import F
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.views import generic

from .models import Question


class IndexView(generic.ListView):
    def get_queryset(self):
        return Question.objects.filter(pub_date__lte=timezone.now()).order_by("-pub_date")[:5]

    def render_to_response(self, context, **more):
        return HttpResponse("".join(each.question_text for each in context["object_list"]))


class DetailView(generic.DetailView):
    model = Question


class ResultsView(generic.DetailView):
    model = Question


def vote(request, question_id):
    question = get_object_or_404(Question, pk=question_id)
    question.choice_set.filter(pk=request.POST["choice"]).update(votes=F("votes") + 1)
    return HttpResponseRedirect(reverse("polls:results", args=(question.id,)))
